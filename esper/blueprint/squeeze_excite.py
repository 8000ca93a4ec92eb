"""`squeeze_excite`: a gain for each channel, from the means of all channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esper.blueprint.base import Blueprint, sites
from esper.blueprint.shapes import MIN_WIDTH, Shape
from esper.contracts.slot import Placement, SlotKind

if TYPE_CHECKING:
    from torch import nn


def _hidden(in_shape: Shape) -> int:
    return max(MIN_WIDTH, in_shape[0] // 4)


def _build(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> nn.Module:
    from esper.blueprint import layers

    return layers.SqueezeExcite(in_shape[0], _hidden(in_shape))


BLUEPRINT = Blueprint(
    name="squeeze_excite",
    fits_in=sites([SlotKind.FEATURE_MAP], [Placement.SERIES]),
    risk=0.2,
    build=_build,
)
