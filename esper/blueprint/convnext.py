"""`convnext`: a depthwise filter, a norm, and 1x1 up fourfold and down (after Liu et al. 2022).

The filter is 3x3 (the original's 7x7 is as large as a whole small map) and has no bias, which the
norm would take away again from a map of one channel.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from esper.blueprint.base import Blueprint, sites
from esper.blueprint.shapes import MIN_WIDTH, Shape, reachable, window
from esper.contracts.slot import Placement, SlotKind

if TYPE_CHECKING:
    from torch import nn


def _hidden(in_shape: Shape) -> int:
    return max(MIN_WIDTH, 4 * in_shape[0])


def _build(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> nn.Module:
    from torch import nn

    from esper.blueprint import layers

    channels, hidden = in_shape[0], _hidden(in_shape)
    through = window(in_shape, out_shape)
    return nn.Sequential(
        layers.convolution(channels, channels, through, groups=channels, bias=False),
        nn.GroupNorm(1, channels),
        layers.pointwise(kind, channels, hidden),
        nn.GELU(),
        layers.zeroed(layers.pointwise(kind, hidden, out_shape[0])),
    )


def _has_spread(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> bool:
    """Allow reachable sizes with more than one number to normalise."""
    filtered = math.prod((in_shape[0], *out_shape[1:]))
    return filtered > 1 and reachable(kind, in_shape, out_shape)


BLUEPRINT = Blueprint(
    name="convnext",
    fits_in=sites([SlotKind.FEATURE_MAP], Placement),
    risk=0.4,
    build=_build,
    shape_rule=_has_spread,
)
