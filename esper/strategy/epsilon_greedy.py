"""Epsilon-greedy: with probability epsilon * decay_rate^selections any arm, else the best mean."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from esper.contracts.arm import ArmStats
from esper.strategy.base import SelectionContext


@dataclass(frozen=True)
class EpsilonGreedy:
    """Chooses the best mean, and now and then any arm.

    An untried arm counts as the best: the exploration that decays adds up to a finite number of
    selections, so without that an arm could stay untried for ever.
    """

    name: ClassVar[str] = "epsilon_greedy"
    window_size: ClassVar[int] = 0

    epsilon: float = 0.1
    decay_rate: float = 0.995

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"strategy.epsilon must be in [0, 1], got {self.epsilon}")
        if not 0 < self.decay_rate <= 1:
            raise ValueError(f"strategy.decay_rate must be in (0, 1], got {self.decay_rate}")

    def scores(
        self, arms: Sequence[ArmStats], context: SelectionContext, rng: Random
    ) -> list[float]:
        """Return the means, or random numbers when it explores; `rng` moves on."""
        if rng.random() < self.epsilon * self.decay_rate**context.selections:
            return [rng.random() for _ in arms]
        return [arm.mean_reward if arm.trials else math.inf for arm in arms]
