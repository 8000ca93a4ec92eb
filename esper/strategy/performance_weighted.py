"""Softmax over recency-weighted, standardised scores.

score = (sum_i decay^i * r_i + m * prior mean) / (sum_i decay^i + m) over the last `window_size`
        rewards in the slot, i = 0 the latest, and a prior worth m trials;
z     = (score - mean) / standard deviation over the tried arms;
share = softmax(z * (1 + urgency) / temperature), drawn as argmax of z / T + Gumbel noise (Gumbel
1954), which needs no exponential of a score and so overflows at none.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import mul
from random import Random
from typing import ClassVar

from esper.contracts.arm import ArmStats
from esper.contracts.checks import require
from esper.strategy.base import FIRST_ORDER_WEIGHT, MAX_WINDOW, Context, Strategy, require_weight

_FLAT = 1e-12
_SMALLEST_DRAW = 2.0**-60


@dataclass(frozen=True)
class PerformanceWeighted(Strategy):
    """Chooses in proportion to recent performance.

    An arm of which nothing is known counts as good as the best.
    """

    name: ClassVar[str] = "performance_weighted"

    window_size: int = 20
    decay_factor: float = 0.9
    temperature: float = 1.0
    first_order_weight: float = FIRST_ORDER_WEIGHT

    def __post_init__(self) -> None:
        size, temperature = self.window_size, self.temperature
        require(1 <= size <= MAX_WINDOW, "strategy.window_size", f"in [1, {MAX_WINDOW}]", size)
        require(0 < self.decay_factor <= 1, "strategy.decay_factor", "in (0, 1]", self.decay_factor)
        require(0 < temperature < math.inf, "strategy.temperature", "> 0 and finite", temperature)
        require_weight(self.first_order_weight)

    def scores(self, arms: Sequence[ArmStats], context: Context, rng: Random) -> list[float]:
        """Return a perturbed score per arm, whose argmax is a softmax draw; advances `rng`."""
        tried = standardised([self._recent_score(arm) for arm in arms if arm.trials])
        best = max(tried, default=0.0)
        known = iter(tried)
        sharpness = (1 + context.urgency) / self.temperature
        log, draw = math.log, rng.random
        # A draw of exactly 0 has no logarithm.
        return [
            (next(known) if arm.trials else best) * sharpness - log(-log(draw() or _SMALLEST_DRAW))
            for arm in arms
        ]

    def _recent_score(self, arm: ArmStats) -> float:
        rewards = arm.recent_rewards[-self.window_size :]
        if not rewards:
            return arm.mean_reward
        weights, count = _weights(self.decay_factor, len(rewards))
        total: float = sum(map(mul, weights, rewards)) + arm.prior_trials * arm.prior_mean
        return total / (count + arm.prior_trials)


def standardised(values: Sequence[float]) -> list[float]:
    """Return `values` at mean 0 and standard deviation 1; zeros if they do not differ."""
    largest = max(map(abs, values), default=0.0)
    if largest == 0:
        return [0.0] * len(values)
    # Divided first, because the square of a large value would overflow.
    scaled = [value / largest for value in values]
    mean = sum(scaled) / len(scaled)
    centred = [value - mean for value in scaled]
    deviation = math.sqrt(sum(map(mul, centred, centred)) / len(centred))
    if deviation <= _FLAT:
        return [0.0] * len(values)
    return [value / deviation for value in centred]


@lru_cache(maxsize=MAX_WINDOW)
def _weights(decay_factor: float, count: int) -> tuple[tuple[float, ...], float]:
    """Return `count` weights, the latest last and 1, and their sum."""
    weights = tuple([decay_factor**age for age in reversed(range(count))])
    return weights, sum(weights)
