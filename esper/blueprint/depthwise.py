"""`depthwise`: a 3x3 filter for each channel, GELU, then a 1x1 mix of the filtered channels.

Where the block reads few channels each gets several filters, so that there are 8 or more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from esper.blueprint.base import Blueprint, sites
from esper.blueprint.shapes import MIN_WIDTH, Shape, reachable, window
from esper.contracts.slot import Placement, SlotKind

if TYPE_CHECKING:
    from torch import nn


def _hidden(channels: int) -> int:
    """Return the smallest multiple of the channels that is at least 8."""
    return channels * -(-MIN_WIDTH // channels)


def _build(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> nn.Module:
    from torch import nn

    from esper.blueprint import layers

    channels = in_shape[0]
    hidden = _hidden(channels)
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
