"""Events about the size of the whole host, and about what a run without a budget has."""

from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.event import EventKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Resized:
    """Body of `resize`: the whole host became wider, or went back to the width of the best network.

    width: of the host now, as a multiple of that at the start.
    parameters_before, parameters_after, flops_before, flops_after: of the network, kernels
        included; FLOPs of a forward pass a sample.
    """

    event_kind: ClassVar[EventKind] = EventKind.RESIZE

    width: int
    parameters_before: int
    parameters_after: int
    flops_before: float
    flops_after: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """Body of `milestone`: what a run without a budget has, told whenever its cost has doubled.

    flops: that it has cost.
    best_epoch: of the best averaged network; val_loss, val_accuracy, parameters: of that.
    """

    event_kind: ClassVar[EventKind] = EventKind.MILESTONE

    flops: float
    best_epoch: int
    val_loss: float | None
    val_accuracy: float | None
    parameters: int
