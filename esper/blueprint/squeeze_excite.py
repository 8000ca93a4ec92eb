"""`squeeze_excite`: a gain for each channel, from the means of all channels."""

from typing import TYPE_CHECKING

from esper.blueprint.base import Blueprint, sites
from esper.blueprint.shapes import MIN_WIDTH, Shape
from esper.contracts.slot import Placement, SlotKind

if TYPE_CHECKING:
    from torch import nn


def _build(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> "nn.Module":
    from esper.blueprint import layers

    channels = in_shape[0]
    return layers.SqueezeExcite(channels, max(MIN_WIDTH, channels // 4))


BLUEPRINT = Blueprint(
    name="squeeze_excite",
    fits_in=sites([SlotKind.FEATURE_MAP], [Placement.SERIES]),
    risk=0.2,
    build=_build,
)
