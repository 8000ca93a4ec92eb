"""Softmax over recency-weighted scores, standardised by their standard error.

score = (sum_i decay^i * r_i + m * prior mean) / (sum_i decay^i + m) over the last `window_size`
        rewards in the slot, i = 0 the latest, and a prior worth m trials;
z     = (score - best score) / standard error;
share = softmax(z * (1 + urgency) / temperature), drawn as argmax of z / T + Gumbel noise (Gumbel
1954), which needs no exponential of a score and so overflows at none.

The standard error is the root mean square of those of the tried arms,

    noise * sqrt(sum_i decay^(2 i) + m) / (sum_i decay^i + m)

with the standard deviation `noise` of one reward.  So shares are even while trials cannot tell the
arms apart, and turn to the better ones as evidence grows.
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
        tried = [self._recent_score(arm) for arm in arms if arm.trials]
        best, error = 0.0, 1.0
        if tried:
            best = max(score for score, _ in tried)
            error = context.noise * math.sqrt(sum(each for _, each in tried) / len(tried))
        known = iter(tried)
        sharpness = (1 + context.urgency) / self.temperature
        log, draw = math.log, rng.random
        # A draw of exactly 0 has no logarithm.
        return [
            ((next(known)[0] - best) / error * sharpness if arm.trials else 0.0)
            - log(-log(draw() or _SMALLEST_DRAW))
            for arm in arms
        ]

    def _recent_score(self, arm: ArmStats) -> tuple[float, float]:
        """Return the score of a tried arm, and its variance relative to that of one reward."""
        rewards = arm.recent_rewards[-self.window_size :]
        if not rewards:
            return arm.mean_reward, 1 / arm.trials
        weights, count, squares = _weights(self.decay_factor, len(rewards))
        total: float = sum(map(mul, weights, rewards)) + arm.prior_trials * arm.prior_mean
        count += arm.prior_trials
        return total / count, (squares + arm.prior_trials) / (count * count)


@lru_cache(maxsize=MAX_WINDOW)
def _weights(decay_factor: float, count: int) -> tuple[tuple[float, ...], float, float]:
    """Return `count` weights, the latest last and 1, their sum, and that of their squares."""
    weights = tuple([decay_factor**age for age in reversed(range(count))])
    return weights, sum(weights), sum(map(mul, weights, weights))
