"""A world with a known answer: one block is unhealthy, and adapting it pays.

    python -m experiments.reference_world

Each episode draws a chain of `SLOTS` blocks, one of which has dead units, a collapsed rank and
hardly any gradient; its place is drawn anew.  One decision: to adapt that block brings +1, all else
-0.1.  Untrained networks learn from `EXPERIENCES` decisions by the product's own update; a decision
is right if the best-ranked action adapts the unhealthy block, on `CHECKS` fresh episodes.  Chance
is 1 / (1 + SLOTS).  The gain model predicts 0 everywhere, so that nothing is known beforehand.

Writes `experiments/results/reference_world.json` and prints the table.
"""

import argparse
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from esper.contracts.data_flow import DataFlow, Edge
from esper.contracts.health import Birth, BlockHealth
from esper.contracts.metrics import EpochMetrics
from esper.contracts.observation import Observation
from esper.contracts.slot import Placement, SeedState, SlotKind, SlotSpec, SlotState
from esper.contracts.stage import SeedStage
from esper.learning.advantage import leave_one_out
from esper.learning.gain_model import GainModel
from esper.learning.options import Learning
from esper.learning.ppo import Experience, optimizer_of, update
from esper.learning.situation import Situation, collate
from esper.policy.actor_critic import ActorCritic
from esper.policy.gnn import GNN
from esper.policy.hierarchical import Hierarchical
from esper.policy.learned import build_with
from esper.policy.learned_net import config_of, untrained
from esper.policy.learned_rules import LearnedRules
from esper.signals.gain_features import FEATURES, offers_of
from experiments.cells import Cells
from experiments.stats import rate

RESULT = Path(__file__).parent / "results" / "reference_world.json"
SLOTS = 8
EXPERIENCES = 1000
CHECKS = 500
TASKS_AT_ONCE, ROLLOUTS = 25, 4
RIGHT, WRONG = 1.0, -0.1
PLAYERS: dict[str, LearnedRules] = {
    "gnn": GNN(pretrained=None),
    "hierarchical": Hierarchical(pretrained=None),
    "actor_critic": ActorCritic(pretrained=None),
    "actor_critic_health": ActorCritic(pretrained=None, health=True),
}
OPTIONS = Learning(rate=3e-3, passes=8, entropy=0.0, gradient_limit=1.0, most_kl=1.0)


def world(rng: np.random.Generator) -> tuple[Observation, int]:
    """Return what a policy sees, and the place of the unhealthy block."""
    place = int(rng.integers(SLOTS))
    names = [f"blocks.{each}" for each in range(SLOTS)]
    slots = tuple(_slot(name, at, at == place, rng) for at, name in enumerate(names))
    chain = tuple(
        Edge(source=one, target=two, weights=1, operations=3, share=1.0)
        for one, two in pairwise(names)
    )
    flow = DataFlow(
        positions={name: at / (SLOTS - 1) for at, name in enumerate(names)},
        outputs=(names[-1],),
        unavoidable=tuple(names),
        edges=chain,
    )
    losses = tuple(float(each) for each in np.sort(rng.uniform(0.5, 2.0, 5))[::-1])
    metrics = EpochMetrics(epoch=5, global_step=50, val_loss=losses[-1], train_loss=losses[-1])
    seen = Observation(
        metrics=metrics,
        epochs=20,
        may_grow=True,
        plateau_epochs=0,
        loss_delta=losses[-1] - losses[-2],
        accuracy_delta=None,
        best_val_accuracy=None,
        best_val_loss=losses[-1],
        train_losses=losses,
        val_losses=losses,
        val_accuracies=(None,) * 5,
        slots=slots,
        data_flow=flow,
    )
    return seen, place


def _slot(name: str, at: int, is_unhealthy: bool, rng: np.random.Generator) -> SlotState:
    def drawn(healthy: float, unhealthy: float, spread: float) -> float:
        return float((unhealthy if is_unhealthy else healthy) + spread * rng.standard_normal())

    def share(healthy: float, unhealthy: float) -> float:
        return min(1.0, max(0.0, drawn(healthy, unhealthy, 0.1)))

    health = BlockHealth(
        epoch=5,
        log_parameters=drawn(6.0, 6.0, 0.5),
        position=at / (SLOTS - 1),
        activation_variance=drawn(0.0, 0.0, 1.0),
        weight_norm=drawn(-2.0, -2.0, 0.3),
        linear_gain=drawn(0.0, 0.0, 0.2),
        units=16.0,
        effective_rank=share(0.5, 0.1),
        gradient_norm=drawn(-5.0, -8.0, 1.0),
        gradient_ratio=drawn(0.0, -2.0, 1.0),
        update_ratio=drawn(-4.0, -6.0, 1.0),
        dead_units=share(0.1, 0.8),
        correlation=share(0.2, 0.2),
        gradient_noise=drawn(0.0, 0.0, 1.0),
    )
    spec = SlotSpec(
        name=name,
        kind=SlotKind.DENSE,
        placement=Placement.PARALLEL,
        in_shape=(16,),
        out_shape=(16,),
        catalogue=("mlp",),
    )
    seed = SeedState(slot=name, seed=0, stage=SeedStage.DORMANT, bound="mlp")
    birth = Birth(blueprint="mlp", first_order=1.0, added_flops=0.1)
    return SlotState(spec=spec, seeds=(seed,), health=health, births=(birth,))


def know_nothing() -> GainModel:
    """Return a gain model that predicts 0 of everything."""
    number = len(FEATURES)
    return GainModel(
        names=FEATURES,
        centre=np.zeros(number),
        spread=np.ones(number),
        weights=np.zeros((2, number)),
        biases=np.zeros(2),
        error=0.1,
        doubts=np.array([0.1]),
    )


class Learner:
    """A network that learns in the world."""

    def __init__(self, name: str, rng_seed: int, options: Learning = OPTIONS) -> None:
        rules, model = PLAYERS[name], know_nothing()
        self.options, self.rng = options, np.random.default_rng([37, rng_seed])
        learned = untrained(config_of(rules), rng_seed)
        self.policy = build_with(rules, model, learned)
        self.net = learned.net
        self.optimizer = optimizer_of(self.net, options)
        self.generator = torch.Generator().manual_seed(rng_seed)

    def situation(self) -> tuple[Situation, int]:
        """Return a new episode's situation, and its right action."""
        seen, place = world(self.rng)
        forecasts = self.policy.forecasts(offers_of(seen, seen.slots))
        return self.policy.situation(seen, forecasts), 1 + place

    def learn(self, tasks: int, rollouts: int) -> None:
        """Decide several times in each of some episodes, and learn from it."""
        situations = [self.situation() for _ in range(tasks)]
        with torch.no_grad():
            said = self.net(collate([situation for situation, _ in situations]))
        chances = said.log_probs.exp()
        actions = torch.multinomial(chances, rollouts, replacement=True, generator=self.generator)
        right = torch.tensor([each for _, each in situations])[:, None]
        returns = torch.where(actions == right, RIGHT, WRONG)
        advantages = leave_one_out(returns)
        experiences = [
            Experience(
                situation,
                int(actions[task, number]),
                float(said.log_probs[task, actions[task, number]]),
                float(advantages[task, number]),
                float(returns[task, number]),
            )
            for task, (situation, _) in enumerate(situations)
            for number in range(rollouts)
        ]
        update(self.net, self.optimizer, experiences, self.options, self.generator)

    @torch.no_grad()
    def right_share(self, checks: int = CHECKS) -> tuple[int, float]:
        """Return how often its best action is right, and how well it expects what follows."""
        situations = [self.situation() for _ in range(checks)]
        said = self.net(collate([situation for situation, _ in situations]))
        best = said.ranks.argmax(1)
        right = torch.tensor([each for _, each in situations])
        return int((best == right).sum()), _correlation(said.log_probs.exp(), right)


def _correlation(chances: torch.Tensor, right: torch.Tensor) -> float:
    """Return the correlation, over all actions, of their probability with what they bring."""
    brings = torch.full_like(chances, WRONG)
    brings[torch.arange(len(right)), right] = RIGHT
    return float(torch.corrcoef(torch.stack([chances.flatten(), brings.flatten()]))[0, 1])


def learned_share(name: str, rng_seed: int) -> dict[str, Any]:
    """Return what a network learns from `EXPERIENCES` decisions."""
    torch.set_num_threads(1)
    learner = Learner(name, rng_seed)
    for _ in range(EXPERIENCES // (TASKS_AT_ONCE * ROLLOUTS)):
        learner.learn(TASKS_AT_ONCE, ROLLOUTS)
    right, correlation = learner.right_share()
    return {"right": right, "correlation": correlation}


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="first rng seed")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    cells = Cells(given.out, f"python -m experiments.reference_world --seeds {given.seeds}")
    seeds = range(given.first, given.first + given.seeds)
    wanted = [(name, seed) for name in PLAYERS for seed in seeds]
    found = dict(zip(wanted, cells.fill(learned_share, wanted, given.processes), strict=True))
    table = {name: _row([found[name, seed] for seed in seeds]) for name in PLAYERS}
    cells.write(table=table)
    for name, row in table.items():
        print(f"{name:20s} right {row['right']:.3f} [{row['low']:.3f}, {row['high']:.3f}]  ", row)


def _row(found: list[dict[str, Any]]) -> dict[str, Any]:
    shares = [each["right"] / CHECKS for each in found]
    whole = rate(sum(each["right"] for each in found), CHECKS * len(found))
    return {
        "right": whole.value,
        "low": whole.low,
        "high": whole.high,
        "least": min(shares),
        "over_0.8": sum(share > 0.8 for share in shares),
        "correlation": fmean(each["correlation"] for each in found),
    }


if __name__ == "__main__":
    main()
