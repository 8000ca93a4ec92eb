"""Thompson sampling: a draw from Beta(successes + prior_alpha, failures + prior_beta).

A reward r in [0, 1] counts as r of a success and 1 - r of a failure (Chapelle and Li 2011).  That
is right for rewards of 0 or 1, whose standard deviation is at most 0.5.  Rewards with less noise
tell more: with the standard deviation s, each counts as (0.5 / s)^2 of those.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from esper.contracts.arm import ArmStats
from esper.contracts.checks import require
from esper.strategy.base import FIRST_ORDER_WEIGHT, Context, Strategy, require_weight

_LEAST_NOISE = 0.005


@dataclass(frozen=True)
class Thompson(Strategy):
    """Chooses by a fresh draw from each arm's posterior, so the same counts can choose any arm."""

    name: ClassVar[str] = "thompson"

    prior_alpha: float = 1.0
    prior_beta: float = 1.0
    first_order_weight: float = FIRST_ORDER_WEIGHT

    def __post_init__(self) -> None:
        for key, value in (("prior_alpha", self.prior_alpha), ("prior_beta", self.prior_beta)):
            require(0 < value < math.inf, f"strategy.{key}", "> 0 and finite", value)
        require_weight(self.first_order_weight)

    def scores(self, arms: Sequence[ArmStats], context: Context, rng: Random) -> list[float]:
        """Return a draw per arm; advances `rng`."""
        worth = (0.5 / max(context.noise, _LEAST_NOISE)) ** 2
        return [self._draw(worth * arm.trials, arm.mean_reward, rng) for arm in arms]

    def _draw(self, trials: float, mean: float, rng: Random) -> float:
        alpha, beta = trials * mean + self.prior_alpha, trials * (1 - mean) + self.prior_beta
        return rng.betavariate(alpha, beta)
