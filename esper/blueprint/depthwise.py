"""`depthwise`: a 3x3 filter for each channel, GELU, then a 1x1 mix of the filtered channels.

Each of few channels gets several filters, so that there are at least 8 filters.
"""

import math
from typing import TYPE_CHECKING

from esper.blueprint.base import Blueprint, sites
from esper.blueprint.shapes import MIN_WIDTH, Shape, reachable, window
from esper.contracts.slot import Placement, SlotKind

if TYPE_CHECKING:
    from torch import nn


def _build(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> "nn.Module":
    from torch import nn

    from esper.blueprint import layers

    channels = in_shape[0]
    hidden = channels * math.ceil(MIN_WIDTH / channels)
    return nn.Sequential(
        layers.convolution(channels, hidden, window(in_shape, out_shape), groups=channels),
        nn.GELU(),
        layers.zeroed(layers.pointwise(kind, hidden, out_shape[0])),
    )


BLUEPRINT = Blueprint(
    name="depthwise",
    fits_in=sites([SlotKind.FEATURE_MAP], Placement),
    risk=0.2,
    build=_build,
    shape_rule=reachable,
)
