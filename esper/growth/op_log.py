"""What a host did in a control step: for its twins, which repeat it, and for those who judge it."""

from dataclasses import dataclass
from typing import Any

from esper.growth.slot import Activation


@dataclass(frozen=True, slots=True)
class ClosedSeed:
    """The life of a seed that was fossilized or culled, for whoever judges it.

    rolled_back: whether the network could feel it when a rollback took it away.
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
    """One move that was made, such that a twin can be made to follow."""

    method: str
    slot: str
    seed: int
    number: int
    arguments: tuple[Any, ...]
