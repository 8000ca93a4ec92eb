"""`gated_mlp`: hidden units that gate each other (SwiGLU), with about the weights of `mlp`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esper.blueprint.base import Blueprint, sites
from esper.blueprint.shapes import MIN_WIDTH, Shape
from esper.contracts.slot import Placement, SlotKind

if TYPE_CHECKING:
    from torch import nn


def _hidden(out_shape: Shape) -> int:
    """Two maps in and one out: two thirds of the units weigh as much as those of `mlp`."""
    return max(MIN_WIDTH, 2 * out_shape[-1] // 3)


def _build(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> nn.Module:
    from esper.blueprint import layers

    return layers.GatedMLP(in_shape[-1], _hidden(out_shape), out_shape[-1])


BLUEPRINT = Blueprint(
    name="gated_mlp",
    fits_in=sites([SlotKind.DENSE, SlotKind.SEQUENCE], Placement),
    risk=0.2,
    build=_build,
)
