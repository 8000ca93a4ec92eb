"""Baseline: every seed is equally likely."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random as Rng
from typing import ClassVar

from esper.contracts.arm import ArmStats
from esper.strategy.base import Context, Strategy


@dataclass(frozen=True)
class Random(Strategy):
    """Chooses uniformly."""

    name: ClassVar[str] = "random"

    def scores(self, arms: Sequence[ArmStats], context: Context, rng: Rng) -> list[float]:
        """Return a uniform draw per arm; advances `rng`."""
        return [rng.random() for _ in arms]
