"""A blueprint: a named recipe for a small module.

Shapes leave the batch dimension out: DENSE (features,), FEATURE_MAP (channels, height, width),
SEQUENCE (positions, features).
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from esper.blueprint.cost import Cost, NewKernel, measure
from esper.blueprint.shapes import Shape, any_shapes, is_sound
from esper.contracts.slot import Placement, SlotKind

if TYPE_CHECKING:
    from torch import nn

ShapeRule = Callable[[SlotKind, Shape, Shape], bool]
Site = tuple[SlotKind, Placement]

SELECTIONS = ("standard", "light", "all")
"""Names of groups of blueprints."""


def sites(kinds: Iterable[SlotKind], placements: Iterable[Placement]) -> frozenset[Site]:
    """Return every pair of the kinds and the placements."""
    return frozenset(product(kinds, placements))


@dataclass(frozen=True, kw_only=True, eq=False)
class Blueprint:
    """A recipe for kernels.  A kernel's output is added to its block's.  Compared by identity.

    name: lower-case letters, digits and underscores, a letter first.
    fits_in: the slot kinds and placements that it is made for.
    risk: prior probability that it harms a network, in [0, 1]; not measured.
    build: (kind, in_shape, out_shape) -> kernel.  Its first output must be exactly 0, it must keep
        no batch statistics, and its weights must come from torch's global generator.
    shape_rule: (kind, in_shape, out_shape) -> whether it can be built.  Called only with shapes
        that `is_sound` accepts, equal in series.
    thread_safe: whether `build` and its kernel may run in another thread during training, because
        they draw random numbers from torch only and share no state with other code.
    """

    name: str
    fits_in: frozenset[Site]
    risk: float
    build: NewKernel
    shape_rule: ShapeRule = any_shapes
    thread_safe: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise ValueError(
                f"blueprint name must be lower-case letters, digits and underscores, "
                f"a letter first, got {self.name!r}"
            )
        if not 0 <= self.risk <= 1:
            raise ValueError(f"blueprint '{self.name}': risk must be in [0, 1], got {self.risk}")
        if not self.fits_in:
            raise ValueError(f"blueprint '{self.name}': fits_in must name a kind and a placement")
        object.__setattr__(self, "fits_in", frozenset(self.fits_in))

    def fits(self, kind: SlotKind, placement: Placement, in_shape: Shape, out_shape: Shape) -> bool:
        """Return whether a kernel can be built for such a slot."""
        if (kind, placement) not in self.fits_in or not is_sound(kind, in_shape, out_shape):
            return False
        if placement is Placement.SERIES and in_shape != out_shape:
            return False
        return self.shape_rule(kind, in_shape, out_shape)

    def cost(self, kind: SlotKind, in_shape: Shape, out_shape: Shape) -> Cost:
        """Return the exact cost of a kernel, measured once for each shape.

        Raises:
            Exception: whatever a user's blueprint or kernel raises.
        """
        return measure(self.new_kernel, kind, in_shape, out_shape)

    def new_kernel(self, kind: SlotKind, in_shape: Shape, out_shape: Shape) -> "nn.Module":
        """Return a kernel with weights from torch's global generator.

        Raises:
            TypeError: if `build` returns no module.
            Exception: whatever a user's blueprint raises.
        """
        from torch import nn

        kernel = self.build(kind, in_shape, out_shape)
        if not isinstance(kernel, nn.Module):
            raise TypeError(f"build must give a torch.nn.Module, got {type(kernel).__name__}")
        return kernel
