"""Requests for kernels, blueprints that fail, and slots of every kind that a blueprint fits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from esper.blueprint import catalogue
from esper.blueprint.base import Blueprint, sites
from esper.contracts.slot import Placement, SlotKind, SlotSpec
from esper.kernels.request import Request

SHAPES: dict[SlotKind, tuple[int, ...]] = {
    SlotKind.DENSE: (4,),
    SlotKind.FEATURE_MAP: (3, 6, 6),
    SlotKind.SEQUENCE: (5, 8),
}
SITES = [
    (name, *site) for name, each in catalogue.BUILT_IN.items() for site in sorted(each.fits_in)
]
"""Every built-in blueprint with every kind and placement that it fits in."""


class Function(nn.Module):
    """A kernel that is a function of its input, a weight of 0 and whether it trains."""

    def __init__(self, function: Callable[[Tensor, Tensor, bool], Any]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x, self.weight, self.training)


def make_spec(kind: SlotKind = SlotKind.DENSE, placement: Placement = Placement.SERIES) -> SlotSpec:
    """Return a slot whose block keeps the shape."""
    shape = SHAPES[kind]
    return SlotSpec(
        name="block", kind=kind, placement=placement, in_shape=shape, out_shape=shape, catalogue=()
    )


def make_request(
    recipe: Blueprint | str = "mlp", spec: SlotSpec | None = None, weights: int = 5, **fields: Any
) -> Request:
    """Return a request for a kernel of seed 0."""
    recipe = catalogue.get(recipe) if isinstance(recipe, str) else recipe
    spec = spec or make_spec()
    facts: dict[str, Any] = {
        "seed": 0,
        "recipe": recipe,
        "cost": recipe.cost(spec.kind, spec.in_shape, spec.out_shape),
        "spec": spec,
        "weights": weights,
        "drawn_as": torch.float32,
        "device": torch.device("cpu"),
        "dtype": torch.float32,
    }
    return Request(**(facts | fields))


def recipe_of(build: Callable[..., Any], **fields: Any) -> Blueprint:
    """Return a user's blueprint, not registered."""
    facts: dict[str, Any] = {
        "name": "odd",
        "fits_in": sites(SlotKind, Placement),
        "risk": 0.5,
        "build": build,
    }
    return Blueprint(**(facts | fields))


def function(forward: Callable[[Tensor, Tensor, bool], Any], **fields: Any) -> Blueprint:
    """Return a blueprint whose kernel is `Function(forward)`."""
    return recipe_of(lambda *_: Function(forward), **fields)


@contextmanager
def registered(*recipes: Blueprint) -> Iterator[None]:
    """Register blueprints for a block."""
    for recipe in recipes:
        catalogue.register(recipe)
    try:
        yield
    finally:
        for recipe in recipes:
            catalogue.unregister(recipe.name)
