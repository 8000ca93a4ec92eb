"""UCB1: mean + spread * sqrt(c * ln(total trials) / trials), after Auer et al. 2002.

The constant c is 2 there.  The spread is the standard deviation of the rewards seen, so that the
width of the interval has the unit of the rewards.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from esper.contracts.arm import ArmStats
from esper.contracts.checks import require
from esper.strategy.base import FIRST_ORDER_WEIGHT, Context, Strategy, require_weight
from esper.strategy.reward_scale import SPREAD


@dataclass(frozen=True)
class UCB(Strategy):
    """Chooses by upper confidence bound.  An arm of which nothing is known scores infinity."""

    name: ClassVar[str] = "ucb"

    exploration_constant: float = 2.0
    first_order_weight: float = FIRST_ORDER_WEIGHT

    def __post_init__(self) -> None:
        c = self.exploration_constant
        require(0 <= c < math.inf, "strategy.exploration_constant", ">= 0 and finite", c)
        require_weight(self.first_order_weight)

    def scores(self, arms: Sequence[ArmStats], context: Context, rng: Random) -> list[float]:
        """Return the upper confidence bound of each arm."""
        total = sum(arm.trials for arm in arms)
        width = self.exploration_constant * math.log(max(total, 1))
        return [
            arm.mean_reward + SPREAD * math.sqrt(width / arm.trials) if arm.trials else math.inf
            for arm in arms
        ]
