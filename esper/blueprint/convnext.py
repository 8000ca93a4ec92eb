"""`convnext`: a depthwise filter, a norm, and 1x1 up fourfold and down (after Liu et al. 2022).

The filter is 3x3, because the original's 7x7 covers a small map whole.  It has no bias, because the
norm would cancel it on a map of one channel.
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

    channels, through = in_shape[0], window(in_shape, out_shape)
    hidden = max(MIN_WIDTH, 4 * channels)
    return nn.Sequential(
        layers.convolution(channels, channels, through, groups=channels, bias=False),
        nn.GroupNorm(1, channels),
        layers.pointwise(kind, channels, hidden),
        nn.GELU(),
        layers.zeroed(layers.pointwise(kind, hidden, out_shape[0])),
    )


def _has_spread(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> bool:
    """Require a reachable size, and more than one number to normalise."""
    return math.prod((in_shape[0], *out_shape[1:])) > 1 and reachable(kind, in_shape, out_shape)


BLUEPRINT = Blueprint(
    name="convnext",
    fits_in=sites([SlotKind.FEATURE_MAP], Placement),
    risk=0.4,
    build=_build,
    shape_rule=_has_spread,
)
