"""LinUCB with disjoint arms: theta x + spread * alpha * sqrt(x^T A^-1 x).

Li, Chu, Langford and Schapire 2010 (arXiv:1003.0146); `regression` has x, theta and A.
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
class LinUCB(Strategy):
    """Chooses by the upper confidence bound of the reward in the present context."""

    name: ClassVar[str] = "linucb"
    is_contextual: ClassVar[bool] = True

    alpha: float = 1.0
    first_order_weight: float = FIRST_ORDER_WEIGHT
    reads_health: bool = False

    def __post_init__(self) -> None:
        require(0 <= self.alpha < math.inf, "strategy.alpha", ">= 0 and finite", self.alpha)
        require_weight(self.first_order_weight)

    def scores(self, arms: Sequence[ArmStats], context: Context, rng: Random) -> list[float]:
        """Return the upper confidence bound of each arm."""
        width = self.alpha * SPREAD
        return [arm.predicted + width * math.sqrt(arm.uncertainty) for arm in arms]
