"""Random requests for kernels: valid ones, and ones that must be refused with a reason.

Each has a random slot: its kind, placement and shapes.  A valid request names a built-in blueprint
that fits the slot.  An invalid one names an unknown blueprint, one that does not fit, or a user's
blueprint that is wrong in one of the ways of `WRONG`.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD

from esper.blueprint import catalogue
from esper.blueprint.base import Blueprint, sites
from esper.contracts.slot import Placement, SlotKind, SlotSpec
from esper.growth.host import Host
from esper.growth.options import Growth

VALID_SHARE = 0.7
SLOT = ""
"""The host itself is the slot."""


class Wrong(nn.Module):
    """A user's kernel: a function of its input, of a weight (0) and of its training mode."""

    def __init__(self, forward: Callable[[Tensor, Tensor, bool], Any]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self._forward = forward

    def forward(self, x: Tensor) -> Any:
        """Return the result of the user's function."""
        return self._forward(x, self.weight, self.training)


def _raising(*_: Any) -> Any:
    raise ZeroDivisionError("a user's mistake")


WRONG: dict[str, tuple[Callable[[Tensor, Tensor, bool], Any], str]] = {
    "wrong_shape": (lambda x, w, _: (x * w)[..., :1, None], "shape"),
    "wrong_shape_in_evaluations": (lambda x, w, t: x * w if t else (x * w)[:1], "shape"),
    "tuple": (lambda x, w, _: (x, w), "shape"),
    "nan": (lambda x, w, _: x * w + math.nan, "output"),
    "infinite_in_evaluations": (lambda x, w, t: x * w + (0 if t else math.inf), "output"),
    "changes_its_input": (lambda x, w, _: x.mul_(2) * w, "input"),
    "nan_gradient": (lambda x, w, _: x * w.sqrt(), "gradient"),
    "no_gradient": (lambda x, w, _: x * 0 * w, "gradient"),
    "nan_upstream": (lambda x, w, _: (x - x).sqrt() + x.detach() * w, "upstream"),
    "raises": (_raising, "ZeroDivisionError"),
}
"""The function of each kernel, and a word from the reason for its refusal."""

_sizes = count(1)
_BUILDS: dict[str, tuple[Callable[..., Any], str]] = {
    "raises_when_built": (_raising, "ZeroDivisionError"),
    "gives_no_module": (lambda *_: 3, "torch.nn.Module"),
    "huge": (lambda *_: _Sized(10**12), "costs too much"),
    "grows": (lambda *_: _Sized(next(_sizes)), "not the same twice"),
}


class _Sized(nn.Module):
    """A kernel with `num_parameters` parameters."""

    def __init__(self, num_parameters: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_parameters))

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros."""
        return x * 0


@dataclass(frozen=True, slots=True)
class Case:
    """A request.  reason: a word from the reason for its refusal; None if it is valid."""

    host: Host
    blueprint: str
    reason: str | None


@contextmanager
def wrong_blueprints() -> Iterator[None]:
    """Register the wrong blueprints inside the `with` block."""
    recipes = [_recipe(name, _builder(forward)) for name, (forward, _) in WRONG.items()]
    recipes += [_recipe(name, build) for name, (build, _) in _BUILDS.items()]
    for recipe in recipes:
        catalogue.register(recipe)
    try:
        yield
    finally:
        for recipe in recipes:
            catalogue.unregister(recipe.name)


def draw(rng: Random) -> Case:
    """Return a random request; call it inside `wrong_blueprints`."""
    if rng.random() < VALID_SHARE:
        return _fitting(rng)
    spec = _spec(rng)
    kind = rng.choice(["unknown", "unfit", "wrong", "wrong"])
    if kind == "unknown":
        return Case(_host(spec), rng.choice(["mpl", "conv9", "", "MLP"]), "unknown blueprint")
    if kind == "unfit":
        unfit = [name for name in catalogue.BUILT_IN if not _fits(name, spec)]
        if unfit:
            return Case(_host(spec), rng.choice(unfit), "does not fit")
    reasons = {name: reason for name, (_, reason) in WRONG.items()}
    reasons |= {name: reason for name, (_, reason) in _BUILDS.items()}
    name = rng.choice(sorted(reasons))
    return Case(_host(_square(rng)), name, reasons[name])


def _fitting(rng: Random) -> Case:
    while True:
        spec, name = _spec(rng), rng.choice(sorted(catalogue.BUILT_IN))
        if _fits(name, spec):
            return Case(_host(spec), name, None)


def _fits(name: str, spec: SlotSpec) -> bool:
    return catalogue.get(name).fits(spec.kind, spec.placement, spec.in_shape, spec.out_shape)


def _spec(rng: Random) -> SlotSpec:
    kind, placement = rng.choice(list(SlotKind)), rng.choice(list(Placement))
    before = _shape(kind, rng)
    after = before if placement is Placement.SERIES else _shape(kind, rng)
    return _slot(kind, placement, before, after)


def _square(rng: Random) -> SlotSpec:
    kind = rng.choice(list(SlotKind))
    shape = tuple(size + 2 for size in _shape(kind, rng))
    return _slot(kind, Placement.SERIES, shape, shape)


def _shape(kind: SlotKind, rng: Random) -> tuple[int, ...]:
    most = {SlotKind.DENSE: (64,), SlotKind.FEATURE_MAP: (16, 8, 8), SlotKind.SEQUENCE: (12, 32)}
    return tuple(rng.randint(1, size) for size in most[kind])


def _slot(
    kind: SlotKind, placement: Placement, in_shape: tuple[int, ...], out_shape: tuple[int, ...]
) -> SlotSpec:
    return SlotSpec(
        name=SLOT,
        kind=kind,
        placement=placement,
        in_shape=in_shape,
        out_shape=out_shape,
        catalogue=("mlp",),
    )


def _host(spec: SlotSpec) -> Host:
    """Return a host with one slot; its model is never run."""
    model = nn.Linear(1, 1)
    host = Host(model, SGD(model.parameters(), lr=0.1), Growth())
    host.place([spec], 1)
    return host


def _builder(forward: Callable[[Tensor, Tensor, bool], Any]) -> Callable[..., nn.Module]:
    return lambda *_: Wrong(forward)


def _recipe(name: str, build: Callable[..., Any]) -> Blueprint:
    return Blueprint(name=name, fits_in=sites(SlotKind, Placement), risk=1.0, build=build)
