"""`mlp`: linear, GELU, linear; 1x1 convolutions on feature maps.

A feature map is average-pooled first if the block changes its size.
"""

from typing import TYPE_CHECKING

from esper.blueprint.base import Blueprint, sites
from esper.blueprint.shapes import Shape, features, hidden_width, reachable
from esper.contracts.slot import Placement, SlotKind

if TYPE_CHECKING:
    from torch import nn


def mlp_layers(
    kind: SlotKind, in_shape: Shape, out_shape: Shape, *, silent: bool
) -> "nn.Sequential":
    """Return the layers.  The weights of the last one are 0 if `silent`, else random."""
    from torch import nn

    from esper.blueprint import layers

    hidden = hidden_width(kind, out_shape)
    last = layers.pointwise(kind, hidden, features(kind, out_shape))
    return nn.Sequential(
        *layers.resample(kind, in_shape, out_shape),
        layers.pointwise(kind, features(kind, in_shape), hidden),
        nn.GELU(),
        layers.zeroed(last) if silent else last,
    )


def _build(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> "nn.Module":
    return mlp_layers(kind, in_shape, out_shape, silent=True)


BLUEPRINT = Blueprint(
    name="mlp",
    fits_in=sites(SlotKind, Placement),
    risk=0.2,
    build=_build,
    shape_rule=reachable,
)
