"""What a kernel is asked for: everything that it is a function of."""

from dataclasses import dataclass

import torch

from esper.blueprint import catalogue
from esper.blueprint.base import Blueprint
from esper.blueprint.cost import Cost
from esper.contracts.slot import SlotSpec
from esper.growth.host import Host
from esper.kernels.kernel import weight_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One kernel for one seed.

    cost: what the blueprint declares.
    weights: seed of its first weights.
    drawn_as: dtype that weights are drawn in, torch's default at the time.
    device, dtype: where it will live, those of the block that it joins.
    """

    slot: str
    seed: int
    recipe: Blueprint
    spec: SlotSpec
    cost: Cost
    weights: int
    drawn_as: torch.dtype
    device: torch.device
    dtype: torch.dtype

    @property
    def is_pure(self) -> bool:
        """Whether it may be built in any thread."""
        return self.recipe.thread_safe or is_built_in(self.recipe)

    @property
    def num_bytes(self) -> int:
        """Memory of the weights."""
        return self.cost.parameters * self.dtype.itemsize


def is_built_in(recipe: Blueprint) -> bool:
    """Return whether a blueprint comes with Esper."""
    return catalogue.BUILT_IN.get(recipe.name) is recipe


def request_of(host: Host, slot: str, seed: int, blueprint: str, rng_seed: int) -> Request:
    """Return what a seed would get if it germinated now.

    Raises:
        ValueError: if there is no such blueprint or it does not fit the slot.
        Exception: what a user's blueprint raises when it is asked for its cost.
    """
    spec, like = host.slots[slot].spec, host.like(slot)
    recipe, drawn_as = catalogue.get(blueprint), torch.get_default_dtype()
    if not recipe.fits(spec.kind, spec.placement, spec.in_shape, spec.out_shape):
        raise ValueError(
            f"it does not fit a {spec.kind} in {spec.placement} "
            f"that leads from {spec.in_shape} to {spec.out_shape}"
        )
    return Request(
        slot=slot,
        seed=seed,
        recipe=recipe,
        spec=spec,
        cost=recipe.cost(spec.kind, spec.in_shape, spec.out_shape),
        weights=weight_seed(rng_seed, slot, seed, host.seed(slot, seed).activations + 1),
        drawn_as=drawn_as,
        device=torch.device("cpu") if like is None else like.device,
        dtype=drawn_as if like is None else like.dtype,
    )
