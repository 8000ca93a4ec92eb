"""The contract of a strategy: one score per arm, computed from counts at selection time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar, NamedTuple

from esper.contracts.arm import ArmStats
from esper.contracts.checks import require

FIRST_ORDER_WEIGHT = 0.25
"""Trials that first-order scores are worth by default.

Over 24 runs with seeds chosen at random, on four tasks, rewards were foreseen best with a weight of
0.1, nearly as well with this, and worse with 1 than with none (`python -m experiments.weights`).
"""

MAX_WINDOW = 100
"""Number of recent rewards that a ledger keeps for an arm, and of the latest of all arms."""


@dataclass(frozen=True, slots=True)
class Context:
    """Input of a strategy besides the arms.

    urgency: of the decision, in [0, 1].
    selections: number of selections in this run so far.
    noise: standard deviation of an arm's rewards on the scale from 0 to 1, > 0; 0.5 is that of
        rewards that are 0 or 1.
    """

    urgency: float = 0.0
    selections: int = 0
    noise: float = 0.5


def require_weight(weight: float) -> None:
    """Raise ValueError unless `weight` can be a `first_order_weight`."""
    valid = 0 <= weight < math.inf
    require(valid, "strategy.first_order_weight", ">= 0 and finite", weight)


class View(NamedTuple):
    """What a strategy reads of an arm besides its counts.

    window_size: as of the strategy.
    latest_size: as of the strategy.
    features: the context of `ArmStats.predicted`; () for the mean.
    is_network: as of the strategy.
    """

    window_size: int = 0
    latest_size: int = 0
    features: tuple[float, ...] = ()
    is_network: bool = False


COUNTS = View()


class Strategy:
    """Scores the viable arms.  It holds no state, so that scores never go stale.

    window_size: number of recent rewards of an arm that it reads.
    latest_size: number of the ledger's last rewards that it reads of all arms together.
    first_order_weight: number of trials that the first-order score of an arm is worth.
    is_contextual: True if it reads `ArmStats.predicted` and `uncertainty`.
    is_network: True if a network predicts that, instead of a regression for each pool.
    reads_health: whether contexts hold what a probe of the slot's health says of a kernel's gain.
    """

    name: ClassVar[str]
    is_contextual: ClassVar[bool] = False
    is_network: ClassVar[bool] = False
    window_size: int = 0
    latest_size: int = 0
    first_order_weight: float = 0.0
    reads_health: bool = False

    def scores(self, arms: Sequence[ArmStats], context: Context, rng: Random) -> list[float]:
        """Return one score per arm, in the order of `arms`; the highest is chosen.

        Ties go to the higher first-order score (unmeasured is lowest), then to the lower seed.
        Infinity marks an arm that must be tried, minus infinity one that must not be chosen.
        """
        raise NotImplementedError
