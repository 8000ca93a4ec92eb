"""`bottleneck`: 1x1 down to a quarter of the channels, 3x3, 1x1 up (after He et al. 2016)."""

from typing import TYPE_CHECKING

from esper.blueprint.base import Blueprint, sites
from esper.blueprint.shapes import MIN_WIDTH, Shape, reachable, window
from esper.contracts.slot import Placement, SlotKind

if TYPE_CHECKING:
    from torch import nn


def _build(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> "nn.Module":
    from torch import nn

    from esper.blueprint import layers

    hidden = max(MIN_WIDTH, out_shape[0] // 4)
    return nn.Sequential(
        layers.pointwise(kind, in_shape[0], hidden),
        nn.GELU(),
        layers.convolution(hidden, hidden, window(in_shape, out_shape)),
        nn.GELU(),
        layers.zeroed(layers.pointwise(kind, hidden, out_shape[0])),
    )


BLUEPRINT = Blueprint(
    name="bottleneck",
    fits_in=sites([SlotKind.FEATURE_MAP], Placement),
    risk=0.4,
    build=_build,
    shape_rule=reachable,
)
