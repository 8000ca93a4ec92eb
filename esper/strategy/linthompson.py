"""Linear Thompson sampling: a draw from normal(theta x, (noise * scale)^2 * x^T A^-1 x).

Agrawal and Goyal 2013 (arXiv:1209.3352); `regression` has x, theta and A.  There theta is drawn;
with a theta for each arm, the draw of theta x has the distribution above.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from esper.contracts.arm import ArmStats
from esper.contracts.checks import require
from esper.strategy.base import FIRST_ORDER_WEIGHT, Context, Strategy, require_weight


@dataclass(frozen=True)
class LinThompson(Strategy):
    """Chooses by a fresh draw from the posterior of each arm's reward in the present context."""

    name: ClassVar[str] = "linthompson"
    is_contextual: ClassVar[bool] = True

    scale: float = 1.0
    first_order_weight: float = FIRST_ORDER_WEIGHT
    reads_health: bool = False

    def __post_init__(self) -> None:
        require(0 <= self.scale < math.inf, "strategy.scale", ">= 0 and finite", self.scale)
        require_weight(self.first_order_weight)

    def scores(self, arms: Sequence[ArmStats], context: Context, rng: Random) -> list[float]:
        """Return a draw per arm; advances `rng`."""
        width = self.scale * context.noise
        return [rng.gauss(arm.predicted, width * math.sqrt(arm.uncertainty)) for arm in arms]
