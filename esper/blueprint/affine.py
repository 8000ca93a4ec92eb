"""`affine`: one linear map, initialised to 0."""

from typing import TYPE_CHECKING

from esper.blueprint.base import Blueprint, sites
from esper.blueprint.shapes import Shape
from esper.contracts.slot import Placement, SlotKind

if TYPE_CHECKING:
    from torch import nn


def _build(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> "nn.Module":
    from esper.blueprint import layers

    return layers.zeroed(layers.pointwise(kind, in_shape[-1], out_shape[-1]))


BLUEPRINT = Blueprint(
    name="affine",
    fits_in=sites([SlotKind.DENSE], Placement),
    risk=0.1,
    build=_build,
)
