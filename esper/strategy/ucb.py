"""UCB1: mean + sqrt(c * ln(total trials) / trials).  Auer et al. 2002, with c = 2 as there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from esper.contracts.arm import ArmStats
from esper.contracts.checks import require
from esper.strategy.base import Context, Strategy


@dataclass(frozen=True)
class UCB(Strategy):
    """Chooses by upper confidence bound.  An untried arm scores infinity, so each is tried once."""

    name: ClassVar[str] = "ucb"

    exploration_constant: float = 2.0

    def __post_init__(self) -> None:
        c = self.exploration_constant
        require(0 <= c < math.inf, "strategy.exploration_constant", ">= 0 and finite", c)

    def scores(self, arms: Sequence[ArmStats], context: Context, rng: Random) -> list[float]:
        """Return the upper confidence bound of each arm."""
        total = sum(arm.trials for arm in arms)
        width = self.exploration_constant * math.log(max(total, 1))
        return [
            arm.mean_reward + math.sqrt(width / arm.trials) if arm.trials else math.inf
            for arm in arms
        ]
