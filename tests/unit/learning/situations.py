"""Small situations, and a network of a few numbers, for tests of learning."""

from typing import Any

import torch
from torch import Tensor, nn

from esper.learning.situation import Batch, Judgement, Situation


def make_situation(*values: float, slots: int = 2, **changes: Any) -> Situation:
    """Return a situation with an offer for each value, slots in turn, all of which are allowed."""
    number = len(values)
    fields: dict[str, Any] = {
        "run": torch.zeros(2),
        "nodes": torch.arange(slots * 3.0).reshape(slots, 3),
        "edges": torch.tensor([[0], [min(1, slots - 1)]]),
        "edge_rows": torch.ones(1, 2),
        "offers": torch.tensor(values)[:, None].repeat(1, 2),
        "places": torch.arange(number) % slots,
        "seeds": torch.arange(number) // slots,
        "values": torch.tensor(values),
        "doubts": torch.full((number,), 0.5),
        "allowed": torch.ones(number, dtype=torch.bool),
    }
    return Situation(**{**fields, **changes})


class Scores(nn.Module):
    """Scores an offer by its value times a factor, and waiting by a number; both are learned."""

    def __init__(self, factor: float = 0.0, wait: float = 0.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))
        self.wait = nn.Parameter(torch.tensor(wait))
        self.level = nn.Parameter(torch.zeros(()))
        self.risk = nn.Parameter(torch.zeros(()))

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> Judgement:
        number = len(batch.run)
        ranks: Tensor = batch.table(self.wait.expand(number), self.factor * batch.values)
        level, risks = self.level.expand(number), self.risk.expand(len(batch.values))
        return Judgement(ranks.log_softmax(1), ranks, level, risks)
