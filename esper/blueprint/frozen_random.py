"""`frozen_random`: the layers of `mlp`, random and never trained; a control that should not win.

Unlike all other kernels its initial output is not 0; only its seed's alpha of 0 hides it.
"""

from typing import TYPE_CHECKING

from esper.blueprint.base import Blueprint, sites
from esper.blueprint.mlp import mlp_layers
from esper.blueprint.shapes import Shape, reachable
from esper.contracts.slot import Placement, SlotKind

if TYPE_CHECKING:
    from torch import nn


def _build(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> "nn.Module":
    return mlp_layers(kind, in_shape, out_shape, silent=False).requires_grad_(False)


BLUEPRINT = Blueprint(
    name="frozen_random",
    fits_in=sites(SlotKind, Placement),
    risk=0.9,
    build=_build,
    shape_rule=reachable,
)
