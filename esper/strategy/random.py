"""Baseline: any seed, each as likely as the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random as Rng
from typing import ClassVar

from esper.contracts.arm import ArmStats
from esper.strategy.base import SelectionContext


@dataclass(frozen=True)
class Random:
    """Chooses uniformly."""

    name: ClassVar[str] = "random"
    window_size: ClassVar[int] = 0

    def scores(self, arms: Sequence[ArmStats], context: SelectionContext, rng: Rng) -> list[float]:
        """Return a uniform draw per arm; advances `rng`."""
        return [rng.random() for _ in arms]
