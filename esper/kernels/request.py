"""A request for a kernel: all inputs that determine the kernel."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from esper.blueprint import catalogue
from esper.blueprint.base import Blueprint
from esper.blueprint.cost import Cost
from esper.blueprint.shapes import Shape
from esper.contracts.slot import Placement, SlotKind, SlotSpec
from esper.kernels.kernel import kernel_errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One kernel for one seed.

    spec: the slot for which the kernel is built.
    cost: cost of the blueprint's kernels in that slot.
    weights: seed of its initial weights.
    drawn_as: dtype in which weights are drawn, torch's default at the time of the request.
    device, dtype: those of the block that the kernel joins.
    """

    spec: SlotSpec
    seed: int
    recipe: Blueprint
    cost: Cost
    weights: int
    drawn_as: torch.dtype
    device: torch.device
    dtype: torch.dtype

    @property
    def slot(self) -> str:
        """Name of the slot."""
        return self.spec.name

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for requests whose kernels differ only in their initial weights."""
        spec = self.spec
        shapes = (spec.kind, spec.placement, spec.in_shape, spec.out_shape)
        return (self.recipe, *shapes, self.drawn_as, self.device, self.dtype)

    @property
    def is_thread_safe(self) -> bool:
        """Whether the kernel may be built in any thread."""
        return self.recipe.thread_safe or self.recipe in catalogue.BUILT_IN.values()


def recipe_of(spec: SlotSpec, seed: int, blueprint: str) -> tuple[Blueprint, Cost]:
    """Return a blueprint, and the cost of its kernels in a slot.

    Raises:
        KernelError: as `kernel_request`.
    """
    with kernel_errors(spec.name, seed, blueprint):
        recipe = catalogue.get(blueprint)
        return recipe, _cost(recipe, spec.kind, spec.placement, spec.in_shape, spec.out_shape)


def kernel_request(
    spec: SlotSpec, seed: int, blueprint: str, weights: int, like: Tensor | None
) -> Request:
    """Return the request for a kernel.

    Args:
        spec: the slot.
        seed: index of the seed in the slot.
        blueprint: name of the blueprint.
        weights: seed of the kernel's initial weights.
        like: a tensor with the kernel's device and dtype; None for the CPU and torch's default.

    Raises:
        KernelError: if the blueprint is unknown, does not fit the slot, or raises while its cost is
            measured.
    """
    drawn_as = torch.get_default_dtype()
    recipe, cost = recipe_of(spec, seed, blueprint)
    return Request(
        spec=spec,
        seed=seed,
        recipe=recipe,
        cost=cost,
        weights=weights,
        drawn_as=drawn_as,
        device=torch.device("cpu") if like is None else like.device,
        dtype=drawn_as if like is None else like.dtype,
    )


@lru_cache(maxsize=1024)
def _cost(
    recipe: Blueprint, kind: SlotKind, placement: Placement, in_shape: Shape, out_shape: Shape
) -> Cost:
    if not recipe.fits(kind, placement, in_shape, out_shape):
        raise ValueError(
            f"it does not fit a {kind} in {placement} that leads from {in_shape} to {out_shape}"
        )
    return recipe.cost(kind, in_shape, out_shape)
