"""The contract of a strategy: one score per arm, computed from counts at selection time."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from esper.contracts.arm import ArmStats

MAX_WINDOW = 100
"""Recent rewards that a ledger keeps of an arm."""


@dataclass(frozen=True, slots=True)
class SelectionContext:
    """What a strategy reads besides the arms.

    urgency: of the decision, in [0, 1].
    selections: how many selections this run has made so far.
    """

    urgency: float = 0.0
    selections: int = 0


class Strategy:
    """Scores the viable arms.  It holds no state, so that scores never go stale.

    window_size: how many recent rewards of an arm it reads; 0 when it needs none.
    """

    name: ClassVar[str]
    window_size: int = 0

    def scores(
        self, arms: Sequence[ArmStats], context: SelectionContext, rng: Random
    ) -> list[float]:
        """Return one score per arm, in the order of `arms`; the highest is chosen.

        Ties go to the higher first-order score (unmeasured is lowest), then to the lower seed.
        Infinity marks an arm that must be tried, minus infinity one that must not be chosen.
        """
        raise NotImplementedError
