"""`noop`: adds nothing and has no parameters; a control that should never win."""

from typing import TYPE_CHECKING

from esper.blueprint.base import Blueprint, sites
from esper.blueprint.shapes import Shape, reachable
from esper.contracts.slot import Placement, SlotKind

if TYPE_CHECKING:
    from torch import nn


def _build(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> "nn.Module":
    from esper.blueprint import layers

    return layers.Nothing(kind, in_shape, out_shape)


BLUEPRINT = Blueprint(
    name="noop",
    fits_in=sites(SlotKind, Placement),
    risk=0.0,
    build=_build,
    shape_rule=reachable,
)
