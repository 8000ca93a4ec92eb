"""A network that reads no graph: the control for `graph_net`.

It is shown the run, with its 27 features, and of each slot what `SlotFeature` says of its seeds;
where `reads_health` is set, all that a graph's nodes hold too.  It knows neither the data flow nor
the gain model.  The score of seed j of a slot is output j of a block that all slots share.
"""

import torch
from torch import nn
from torch.nn import functional

from esper.contracts.errors import ConfigError
from esper.learning.situation import Batch, Scores
from esper.policy.networks.judge_net import JudgeNet
from esper.policy.networks.shape import Dropout, InputSizes

MAX_SEEDS = 16


class SlotNet(JudgeNet):
    """The network of `actor_critic`.

    blind_from: the first of a node's columns that say nothing of its health.
    """

    def __init__(
        self,
        sizes: InputSizes,
        hidden: int,
        blind_from: int,
        dropout: float = 0.0,
        *,
        reads_health: bool = False,
    ) -> None:
        super().__init__()
        self.first_column = 0 if reads_health else blind_from
        width = sizes.node - self.first_column
        self.run = nn.Linear(sizes.run + width, hidden)
        self.slot = nn.Linear(hidden + width, hidden)
        self.dropout = Dropout(dropout)
        self.actor, self.risk = nn.Linear(hidden, MAX_SEEDS), nn.Linear(hidden, MAX_SEEDS)
        self.wait, self.critic = nn.Linear(hidden, 1), nn.Linear(hidden, 1)
        for layer in (self.actor, self.risk, self.wait, self.critic):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def scores(self, batch: Batch, generator: torch.Generator | None = None) -> Scores:
        """Return the scores of a batch.

        Raises:
            ConfigError: if a slot has more seeds than the network knows.
        """
        if len(batch.seeds) and int(batch.seeds.max()) >= MAX_SEEDS:
            found = int(batch.seeds.max()) + 1
            raise ConfigError(
                f"policy=actor_critic knows at most {MAX_SEEDS} seeds of a slot, this has {found}"
            )
        nodes = batch.nodes[:, self.first_column :]
        h_BH = functional.relu(self.run(torch.cat([batch.run, batch.slots_mean(nodes)], 1)))
        h_BH = self.dropout(h_BH, generator)
        h_NH = functional.relu(self.slot(torch.cat([nodes, h_BH[batch.node_rows]], 1)))
        h_NH = self.dropout(h_NH, generator)
        scores_T = self.actor(h_NH)[batch.places, batch.seeds]
        risks_T = self.risk(h_NH)[batch.places, batch.seeds]
        return Scores(self.wait(h_BH)[:, 0], scores_T, self.critic(h_BH)[:, 0], risks_T)
