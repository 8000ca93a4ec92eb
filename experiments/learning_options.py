"""What each option of learning is worth, in a world with a known answer.

    python -m experiments.learning_options

The world is that of `experiments.reference_world`, with returns like those of growth runs: each
task adds a number of its own to the returns of all its rollouts, as hard and easy tasks do, and
each run some noise.  The network of `gnn` learns by the product's own updates, with one option
changed at a time, and is asked how often its best action is right.

Writes `experiments/results/learning_options.json`.  A stopped command goes on where it was.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from esper.learning.options import Learning
from esper.learning.situation import collate
from esper.policy.learned_net import config_of, untrained
from esper.run.episodes.episode import EpisodeResult
from esper.run.policy_training.reinforce import Group, Training
from esper.run.policy_training.rollouts import Played, Step
from experiments.cells import Cells
from experiments.reference_world import OPTIONS, PLAYERS, RIGHT, WRONG, Learner
from experiments.stats import bootstrap

RESULT = Path(__file__).parent / "results" / "learning_options.json"
UPDATES, TASKS_AT_ONCE, ROLLOUTS, CHECKS = 6, 12, 4, 400
OFFSET, NOISE = 1.0, 0.5
"""Standard deviations of what a task adds to its returns, and of a single run's noise."""
USUAL = replace(OPTIONS, tasks_at_once=TASKS_AT_ONCE, rollouts=ROLLOUTS)
CHANGES: dict[str, dict[str, Any]] = {
    "usual": {},
    "baseline=value": {"baseline": "value"},
    "baseline=value target_every=4": {"baseline": "value", "target_every": 4},
    "baseline=never": {"baseline": "never"},
    "replay=200": {"replay": 200},
    "dropout=0.1": {"dropout": 0.1},
    "entropy=0.05": {"entropy": 0.05},
    "least_entropy=1": {"entropy": 0.01, "least_entropy": 1.0},
    "plateau=2": {"plateau": 2},
    "most_kl=0.02": {"most_kl": 0.02},
    "passes=2": {"passes": 2},
}
_NOTHING = EpisodeResult(
    index=0,
    rng_seed=0,
    loss=1.0,
    accuracy=0.0,
    flops=1.0,
    train_flops=1.0,
    events=0,
    kept=0,
    culled=0,
    processor_s=0.0,
)


class _InWorld(Training):
    """A training whose episodes are those of the world."""

    def __init__(self, options: Learning, rng_seed: int) -> None:
        rules = PLAYERS["gnn"]
        learned = untrained(config_of(rules, dropout=options.dropout), rng_seed)
        super().__init__(rules, options, learned, rng_seed)
        self.world = Learner("gnn", rng_seed)
        self.world.net = self.net
        self.draws = np.random.default_rng([41, rng_seed])

    def play(self, tasks: Sequence[int], workers: Any) -> list[Group]:
        """Return a group for each task."""
        del workers
        return [self._group() for _ in tasks]

    @torch.no_grad()
    def _group(self) -> Group:
        situation, right = self.world.situation()
        said = self.net(collate([situation]))
        log_probs = said.log_probs[0]
        offset = OFFSET * self.draws.standard_normal()
        rollouts, returns = [], []
        for _ in range(ROLLOUTS):
            action = int(self.draws.choice(len(log_probs), p=_chances(log_probs)))
            step = Step(situation, action, float(log_probs[action]), float(said.values[0]))
            rollouts.append(Played((step,), _NOTHING))
            noise = NOISE * self.draws.standard_normal()
            returns.append((RIGHT if action == right else WRONG) + offset + noise)
        return Group(tuple(rollouts), tuple(returns))


def _chances(log_probs: torch.Tensor) -> Any:
    chances = log_probs.double().exp().numpy()
    return chances / chances.sum()


def cell(change: str, rng_seed: int) -> float:
    """Return the share of right decisions after learning with an option changed."""
    torch.set_num_threads(1)
    training = _InWorld(replace(USUAL, **CHANGES[change]), rng_seed)
    nobody: Any = None
    for _ in range(UPDATES):
        training.update(range(TASKS_AT_ONCE), nobody)
    return training.world.right_share(CHECKS)[0] / CHECKS


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    cells = Cells(given.out, f"python -m experiments.learning_options --seeds {given.seeds}")
    seeds = range(given.seeds)
    wanted = [(change, seed) for change in CHANGES for seed in seeds]
    found = dict(zip(wanted, cells.fill(cell, wanted, given.processes), strict=True))
    table = {}
    for change in CHANGES:
        own = bootstrap([found[change, seed] for seed in seeds])
        over = bootstrap([found[change, seed] - found["usual", seed] for seed in seeds])
        table[change] = {
            "right": [own.value, own.low, own.high],
            "over_usual": [over.value, over.low, over.high],
        }
        print(
            f"{change:30s} right {own.value:.3f} [{own.low:.3f}, {own.high:.3f}]  over usual "
            f"{over.value:+.3f} [{over.low:+.3f}, {over.high:+.3f}]"
        )
    cells.write(table=table, experiences=UPDATES * TASKS_AT_ONCE * ROLLOUTS)


if __name__ == "__main__":
    main()
