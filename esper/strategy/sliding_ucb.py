"""Sliding-window UCB: as UCB1, over the ledger's last trials only.

    mean + spread * sqrt(c * ln(min(total trials, window)) / trials)

with mean and trials of each arm within the window, after Garivier and Moulines 2011 (On
upper-confidence bound policies for switching bandit problems, arXiv:0805.3415).  An arm without a
trial in the window is left with its prior: similar slots and its first-order score.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from esper.contracts.arm import ArmStats
from esper.contracts.checks import require
from esper.strategy.base import FIRST_ORDER_WEIGHT, MAX_WINDOW, Context, Strategy, require_weight
from esper.strategy.reward_scale import SPREAD


@dataclass(frozen=True)
class SlidingUCB(Strategy):
    """Chooses by upper confidence bound over the last trials, for arms whose worth changes.

    latest_size: trials of all slots together that count.
    """

    name: ClassVar[str] = "sliding_ucb"

    latest_size: int = 100
    exploration_constant: float = 2.0
    first_order_weight: float = FIRST_ORDER_WEIGHT

    def __post_init__(self) -> None:
        size, c = self.latest_size, self.exploration_constant
        require(1 <= size <= MAX_WINDOW, "strategy.latest_size", f"in [1, {MAX_WINDOW}]", size)
        require(0 <= c < math.inf, "strategy.exploration_constant", ">= 0 and finite", c)
        require_weight(self.first_order_weight)

    def scores(self, arms: Sequence[ArmStats], context: Context, rng: Random) -> list[float]:
        """Return the upper confidence bound of each arm; infinity where nothing is known."""
        trials = [arm.num_latest + arm.prior_trials for arm in arms]
        width = self.exploration_constant * math.log(max(sum(trials), 1))
        return [
            _mean(arm) + SPREAD * math.sqrt(width / count) if count else math.inf
            for arm, count in zip(arms, trials, strict=True)
        ]


def _mean(arm: ArmStats) -> float:
    known = arm.num_latest * arm.latest_mean + arm.prior_trials * arm.prior_mean
    return known / (arm.num_latest + arm.prior_trials)
