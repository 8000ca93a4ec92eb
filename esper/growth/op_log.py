"""Log of the host operations of one control step, replayed on twins, and of the closed seeds."""

from dataclasses import dataclass
from typing import Any

from esper.growth.slot import Activation


@dataclass(frozen=True, slots=True)
class ClosedSeed:
    """An activation that ended: the seed was fossilized or culled.

    number: number of the seed's activation, from 1.
    rolled_back: whether a rollback removed the kernel while it was blended.
    """

    slot: str
    seed: int
    number: int
    activation: Activation
    fossilized: bool
    reason: str
    rolled_back: bool = False


@dataclass(frozen=True, slots=True)
class HostOp:
    """A call of a method of `Host` on one seed, to be repeated on twins.

    number: number of the seed's activation, from 1.
    """

    method: str
    slot: str
    seed: int
    number: int
    arguments: tuple[Any, ...]
