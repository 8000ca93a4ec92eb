"""The contract of a strategy: one score per arm, computed from counts at selection time."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from esper.contracts.arm import ArmStats

MAX_WINDOW = 100
"""Number of recent rewards that a ledger keeps for an arm."""


@dataclass(frozen=True, slots=True)
class Context:
    """Input of a strategy besides the arms.

    urgency: of the decision, in [0, 1].
    selections: number of selections in this run so far.
    """

    urgency: float = 0.0
    selections: int = 0


class Strategy:
    """Scores the viable arms.  It holds no state, so that scores never go stale.

    window_size: number of recent rewards of an arm that it reads.
    """

    name: ClassVar[str]
    window_size: int = 0

    def scores(self, arms: Sequence[ArmStats], context: Context, rng: Random) -> list[float]:
        """Return one score per arm, in the order of `arms`; the highest is chosen.

        Ties go to the higher first-order score (unmeasured is lowest), then to the lower seed.
        Infinity marks an arm that must be tried, minus infinity one that must not be chosen.
        """
        raise NotImplementedError
