"""`norm`: the normalised output, with a gain and a bias for each feature that start at 0.

Statistics are those of one sample (feature maps) or one position (sequences), never of a batch.
"""

import math
from typing import TYPE_CHECKING

from esper.blueprint.base import Blueprint, sites
from esper.blueprint.shapes import Shape, features
from esper.contracts.slot import Placement, SlotKind

if TYPE_CHECKING:
    from torch import nn


def _build(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> "nn.Module":
    from torch import nn

    from esper.blueprint import layers

    size = features(kind, in_shape)
    if kind is SlotKind.FEATURE_MAP:
        return layers.zeroed(nn.GroupNorm(1, size))
    return layers.zeroed(nn.LayerNorm(size))


def _has_spread(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> bool:
    """Require more than one number to normalise: a single one is always 0."""
    return (math.prod(in_shape) if kind is SlotKind.FEATURE_MAP else in_shape[-1]) > 1


BLUEPRINT = Blueprint(
    name="norm",
    fits_in=sites([SlotKind.FEATURE_MAP, SlotKind.SEQUENCE], [Placement.SERIES]),
    risk=0.2,
    build=_build,
    shape_rule=_has_spread,
)
