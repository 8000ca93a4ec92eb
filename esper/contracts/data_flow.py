"""The graph of a host's slots: whose output reaches whose input."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A way of the data from one slot's output to another's input, through no third slot.

    Of several paths it describes the one with the fewest weight layers, and among these the one
    with the fewest operations.

    source, target: names of two different slots.
    weights: operations on the path that read a weight of two or more dimensions, >= 0; 0 on a
        residual stream.
    operations: operations of torch on the path, views included, >= 0.
    share: 1 / number of slots whose output so reaches the target, in (0, 1].
    """

    source: str
    target: str
    weights: int
    operations: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFlow:
    """The data flow between the slots of a host; kernels, which only add, do not change it.

    positions: for each slot, in order, the number of slots on the longest path of the data from
        the input to it, relative to the largest such number, in [0, 1]; 0 if no slot follows
        another.
    outputs: slots whose output reaches that of the host through no other slot, in order.
    unavoidable: slots that lie on every path of the data from the input of the host to its output,
        in order.  All calls of a slot are one place on these paths.  A slot inside another is none
        of them: kernels of the outer slot pass by it.
    edges: by target, then by source, in the order of the slots.  Of more than `MOST_SOURCES`
        slots that reach a target only those with the nearest paths have an edge, because on a
        residual stream every slot reaches all that follow.
    """

    positions: Mapping[str, float]
    outputs: tuple[str, ...]
    unavoidable: tuple[str, ...]
    edges: tuple[Edge, ...]


MOST_SOURCES = 8
"""Most edges that end in a slot."""
