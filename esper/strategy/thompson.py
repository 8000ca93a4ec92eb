"""Thompson sampling: a draw from Beta(successes + prior_alpha, failures + prior_beta)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from esper.contracts.arm import ArmStats
from esper.contracts.checks import require
from esper.strategy.base import Context, Strategy


@dataclass(frozen=True)
class Thompson(Strategy):
    """Chooses by a fresh draw from each arm's posterior, so the same counts can choose any arm.

    A reward r in [0, 1] counts as r of a success and 1 - r of a failure.
    """

    name: ClassVar[str] = "thompson"

    prior_alpha: float = 1.0
    prior_beta: float = 1.0

    def __post_init__(self) -> None:
        for key, value in (("prior_alpha", self.prior_alpha), ("prior_beta", self.prior_beta)):
            require(0 < value < math.inf, f"strategy.{key}", "> 0 and finite", value)

    def scores(self, arms: Sequence[ArmStats], context: Context, rng: Random) -> list[float]:
        """Return a draw per arm; advances `rng`."""
        return [self._draw(arm.trials, arm.trials * arm.mean_reward, rng) for arm in arms]

    def _draw(self, trials: int, successes: float, rng: Random) -> float:
        failures = trials - successes
        return rng.betavariate(successes + self.prior_alpha, failures + self.prior_beta)
