"""Epsilon-greedy: with probability epsilon * decay_rate^selections any arm, else the best mean."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from esper.contracts.arm import ArmStats
from esper.contracts.checks import require
from esper.strategy.base import FIRST_ORDER_WEIGHT, Context, Strategy, require_weight


@dataclass(frozen=True)
class EpsilonGreedy(Strategy):
    """Chooses the best mean, and sometimes any arm.

    An arm of which nothing is known counts as the best.  Otherwise it might never be tried, because
    decaying exploration adds up to a finite number of selections.
    """

    name: ClassVar[str] = "epsilon_greedy"

    epsilon: float = 0.1
    decay_rate: float = 0.995
    first_order_weight: float = FIRST_ORDER_WEIGHT

    def __post_init__(self) -> None:
        require(0 <= self.epsilon <= 1, "strategy.epsilon", "in [0, 1]", self.epsilon)
        require(0 < self.decay_rate <= 1, "strategy.decay_rate", "in (0, 1]", self.decay_rate)
        require_weight(self.first_order_weight)

    def scores(self, arms: Sequence[ArmStats], context: Context, rng: Random) -> list[float]:
        """Return the means, or random numbers when it explores; advances `rng`."""
        if rng.random() < self.epsilon * self.decay_rate**context.selections:
            return [rng.random() for _ in arms]
        return [arm.mean_reward if arm.trials else math.inf for arm in arms]
