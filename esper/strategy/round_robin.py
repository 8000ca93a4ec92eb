"""Baseline: every seed in turn."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from esper.contracts.arm import ArmStats
from esper.strategy.base import Context, Strategy


@dataclass(frozen=True)
class RoundRobin(Strategy):
    """Chooses the seed selected least often in this run, the lowest of them first."""

    name: ClassVar[str] = "round_robin"

    def scores(self, arms: Sequence[ArmStats], context: Context, rng: Random) -> list[float]:
        """Return minus each arm's place in the queue; no two arms tie."""
        queue = sorted((arm.selections, arm.seed) for arm in arms)
        place = {seed: index for index, (_, seed) in enumerate(queue)}
        return [0.0 - place[arm.seed] for arm in arms]
