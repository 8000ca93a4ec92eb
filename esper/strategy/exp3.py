"""Exp3: exponential weights, which assume nothing about how rewards come about.

    share_i = (1 - exploration) * w_i / sum w + exploration / K
    w_i     = exp(exploration / K * G_i)

for K arms, after Auer, Cesa-Bianchi, Freund and Schapire 2002 (The nonstochastic multiarmed bandit
problem).  There G_i sums each reward over its share at that time, which estimates without bias what
the arm would have earned had it been chosen every time.  Here G_i estimates the same from counts,
as the mean reward of the arm times the trials of all arms, so that no share has to be kept.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from esper.contracts.arm import ArmStats
from esper.contracts.checks import require
from esper.strategy.base import FIRST_ORDER_WEIGHT, Context, Strategy, require_weight

_SMALLEST_DRAW = 2.0**-60


@dataclass(frozen=True)
class Exp3(Strategy):
    """Draws an arm by its share; an arm of which nothing is known counts as good as the best."""

    name: ClassVar[str] = "exp3"

    exploration: float = 0.2
    first_order_weight: float = FIRST_ORDER_WEIGHT

    def __post_init__(self) -> None:
        require(0 < self.exploration <= 1, "strategy.exploration", "in (0, 1]", self.exploration)
        require_weight(self.first_order_weight)

    def scores(self, arms: Sequence[ArmStats], context: Context, rng: Random) -> list[float]:
        """Return the perturbed logarithm of each share, whose argmax is a draw; advances `rng`."""
        # Argmax of ln(share) + Gumbel noise (Gumbel 1954); a draw of exactly 0 has no logarithm.
        return [
            math.log(share) - math.log(-math.log(rng.random() or _SMALLEST_DRAW))
            for share in self.shares(arms)
        ]

    def shares(self, arms: Sequence[ArmStats]) -> list[float]:
        """Return the probability of each arm."""
        best = max((arm.mean_reward for arm in arms if arm.trials), default=0.5)
        rate = self.exploration / len(arms) * sum(arm.trials for arm in arms)
        # Relative to the best, so that no power overflows.
        weights = [math.exp(rate * (arm.mean_reward - best)) if arm.trials else 1.0 for arm in arms]
        total, even = sum(weights), self.exploration / len(arms)
        return [(1 - self.exploration) * weight / total + even for weight in weights]
