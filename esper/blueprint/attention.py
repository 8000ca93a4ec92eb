"""`attention`: causal self-attention over the positions, with up to 4 heads."""

import math
from typing import TYPE_CHECKING

from esper.blueprint.base import Blueprint, sites
from esper.blueprint.shapes import Shape
from esper.contracts.slot import Placement, SlotKind

if TYPE_CHECKING:
    from torch import nn

MAX_HEADS = 4


def _build(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> "nn.Module":
    from esper.blueprint import layers

    num_in = in_shape[-1]
    return layers.CausalAttention(num_in, out_shape[-1], num_heads=math.gcd(num_in, MAX_HEADS))


def _has_something_to_attend(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> bool:
    """Require two positions to attend to, and two features: the norm of a single one is 0."""
    return min(in_shape) > 1


BLUEPRINT = Blueprint(
    name="attention",
    fits_in=sites([SlotKind.SEQUENCE], Placement),
    risk=0.5,
    build=_build,
    shape_rule=_has_something_to_attend,
)
