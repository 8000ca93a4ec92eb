"""`gated_mlp`: hidden units that gate each other (SwiGLU), with about as many weights as `mlp`."""

from typing import TYPE_CHECKING

from esper.blueprint.base import Blueprint, sites
from esper.blueprint.shapes import MIN_WIDTH, Shape
from esper.contracts.slot import Placement, SlotKind

if TYPE_CHECKING:
    from torch import nn


def _build(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> "nn.Module":
    from esper.blueprint import layers

    # A unit has three vectors of weights, two in and one out; a unit of `mlp` has two.
    hidden = max(MIN_WIDTH, 2 * out_shape[-1] // 3)
    return layers.GatedMLP(in_shape[-1], hidden, out_shape[-1])


BLUEPRINT = Blueprint(
    name="gated_mlp",
    fits_in=sites([SlotKind.DENSE, SlotKind.SEQUENCE], Placement),
    risk=0.2,
    build=_build,
)
