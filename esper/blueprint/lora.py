"""`lora`: a linear map of rank at most 8, without bias (after Hu et al. 2021)."""

from typing import TYPE_CHECKING

from esper.blueprint.base import Blueprint, sites
from esper.blueprint.shapes import Shape
from esper.contracts.slot import Placement, SlotKind

if TYPE_CHECKING:
    from torch import nn

MAX_RANK = 8


def _build(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> "nn.Module":
    from torch import nn

    from esper.blueprint import layers

    rank = min(MAX_RANK, in_shape[-1], out_shape[-1])
    return nn.Sequential(
        nn.Linear(in_shape[-1], rank, bias=False),
        layers.zeroed(nn.Linear(rank, out_shape[-1], bias=False)),
    )


BLUEPRINT = Blueprint(
    name="lora",
    fits_in=sites([SlotKind.DENSE, SlotKind.SEQUENCE], Placement),
    risk=0.1,
    build=_build,
)
