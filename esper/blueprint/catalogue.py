"""The catalogue: every blueprint by name, and which of them are offered to a slot.

Users add theirs with `@blueprint` or `register`, or through the entry point group
`esper.blueprints` of an installed package, which maps a blueprint's name to its `Blueprint`.
"""

import difflib
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from esper.blueprint import (
    affine,
    attention,
    bottleneck,
    conv,
    convnext,
    depthwise,
    frozen_random,
    gated_mlp,
    lora,
    mlp,
    noop,
    norm,
    squeeze_excite,
)
from esper.blueprint.base import SELECTIONS, Blueprint, ShapeRule, Site
from esper.blueprint.cost import NewKernel
from esper.blueprint.shapes import Shape, any_shapes
from esper.contracts.slot import Placement, SlotKind

ENTRY_POINT_GROUP = "esper.blueprints"

UNSTATED_RISK = 0.5
"""Risk of a blueprint whose author states none."""

BUILT_IN: dict[str, Blueprint] = {
    "affine": affine.BLUEPRINT,
    "mlp": mlp.BLUEPRINT,
    "lora": lora.BLUEPRINT,
    "gated_mlp": gated_mlp.BLUEPRINT,
    "norm": norm.BLUEPRINT,
    "squeeze_excite": squeeze_excite.BLUEPRINT,
    "depthwise": depthwise.BLUEPRINT,
    "conv": conv.BLUEPRINT,
    "bottleneck": bottleneck.BLUEPRINT,
    "convnext": convnext.BLUEPRINT,
    "attention": attention.BLUEPRINT,
    "noop": noop.BLUEPRINT,
    "frozen_random": frozen_random.BLUEPRINT,
}

STANDARD: dict[Site, tuple[str, ...]] = {
    (SlotKind.DENSE, Placement.SERIES): ("mlp", "gated_mlp", "affine", "lora"),
    (SlotKind.DENSE, Placement.PARALLEL): ("mlp", "gated_mlp", "affine", "lora"),
    (SlotKind.FEATURE_MAP, Placement.SERIES): (
        "conv",
        "convnext",
        "bottleneck",
        "depthwise",
        "squeeze_excite",
        "mlp",
    ),
    (SlotKind.FEATURE_MAP, Placement.PARALLEL): (
        "conv",
        "bottleneck",
        "convnext",
        "depthwise",
        "mlp",
    ),
    (SlotKind.SEQUENCE, Placement.SERIES): ("mlp", "gated_mlp", "lora", "norm", "attention"),
    (SlotKind.SEQUENCE, Placement.PARALLEL): ("mlp", "gated_mlp", "lora", "attention"),
}
"""At most 6 for each site, best first.

Dense and feature maps: ordered by the gain of growing at epoch 4 of 40 (digits, default hosts,
4 to 8 rng seeds).  Sequences: attention is last, because it gains nothing when tried first.
"""

LIGHT = ("depthwise", "lora", "affine", "squeeze_excite", "norm")
"""Cheap blueprints, best first."""

_added: dict[str, Blueprint] = {}


def names() -> tuple[str, ...]:
    """Return every known name: built-in, registered, then those of installed packages."""
    return tuple(dict.fromkeys((*BUILT_IN, *_added, *_installed())))


def get(name: str) -> Blueprint:
    """Return the blueprint called `name`.

    Raises:
        ValueError: if there is none (the message suggests similar names), or if it cannot be
            loaded from its installed package.
    """
    known = BUILT_IN.get(name) or _added.get(name)
    if known is not None:
        return known
    if name in _installed():
        return _load(_installed()[name])
    near = difflib.get_close_matches(name, names(), n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names())}"
    raise ValueError(f"unknown blueprint '{name}'; {hint}")


def risk_of(name: str) -> float:
    """Return the risk of a blueprint; of one that is not known, that of one that states none."""
    known = BUILT_IN.get(name) or _added.get(name)
    if known is None:
        return get(name).risk if name in names() else UNSTATED_RISK
    return known.risk


def fitting(
    selection: str | tuple[str, ...],
    kind: SlotKind,
    placement: Placement,
    in_shape: Shape,
    out_shape: Shape,
) -> tuple[str, ...]:
    """Return the names of the selection that fit a slot, in the order in which to try them.

    Args:
        selection: names in the user's order, or `standard`, `light` or `all` (the standard ones,
            then all others).
        kind: kind of the slot.
        placement: where the kernel reads.
        in_shape: shape of the kernel's input, without the batch dimension.
        out_shape: shape of the block's output, without the batch dimension.

    Raises:
        ValueError: if a name or the selection is unknown.
    """
    candidates = _candidates(selection, (kind, placement))
    return tuple(
        name for name in candidates if get(name).fits(kind, placement, in_shape, out_shape)
    )


def _candidates(selection: str | tuple[str, ...], site: Site) -> tuple[str, ...]:
    if not isinstance(selection, str):
        return tuple(dict.fromkeys(selection))
    if selection == "standard":
        return STANDARD[site]
    if selection == "light":
        return LIGHT
    if selection == "all":
        return tuple(dict.fromkeys((*STANDARD[site], *names())))
    raise ValueError(
        f"unknown blueprint selection '{selection}' (allowed: {', '.join(SELECTIONS)} "
        f"or a list of names)"
    )


def register(added: Blueprint) -> Blueprint:
    """Add a blueprint to the catalogue and return it.

    A definition that is run again, as in a notebook, replaces the earlier one.

    Raises:
        ValueError: if another blueprint has this name.
    """
    former = BUILT_IN.get(added.name) or _added.get(added.name)
    if former is not None and _origin(former) != _origin(added):
        raise ValueError(
            f"blueprint '{added.name}' exists already, built by {'.'.join(_origin(former))}; "
            f"choose another name"
        )
    _added[added.name] = added
    return added


def unregister(name: str) -> None:
    """Remove a blueprint that was registered.

    Raises:
        ValueError: if no registered blueprint has this name.
    """
    if _added.pop(name, None) is None:
        raise ValueError(f"no blueprint '{name}' was registered (added: {', '.join(_added)})")


def blueprint(
    *,
    name: str,
    fits_in: Iterable[Site],
    risk: float = UNSTATED_RISK,
    shape_rule: ShapeRule = any_shapes,
    thread_safe: bool = False,
) -> Callable[[NewKernel], Blueprint]:
    """Return a decorator that registers a function (kind, in_shape, out_shape) -> kernel.

    The decorated name is the `Blueprint`, not the function.
    """

    def decorate(build: NewKernel) -> Blueprint:
        return register(
            Blueprint(
                name=name,
                fits_in=frozenset(fits_in),
                risk=risk,
                build=build,
                shape_rule=shape_rule,
                thread_safe=thread_safe,
            )
        )

    return decorate


def _origin(known: Blueprint) -> tuple[str, str]:
    build = known.build
    return build.__module__, getattr(build, "__qualname__", type(build).__qualname__)


@cache
def _installed() -> dict[str, EntryPoint]:
    """Return the entry points of installed packages by name, not loaded yet.

    Raises:
        ValueError: if a name is built-in or occurs twice.
    """
    offered: dict[str, EntryPoint] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name in BUILT_IN or entry.name in offered:
            raise ValueError(
                f"entry point '{entry.name}' of group {ENTRY_POINT_GROUP} ({entry.value}): "
                f"a blueprint of this name exists already"
            )
        offered[entry.name] = entry
    return offered


@cache
def _load(entry: EntryPoint) -> Blueprint:
    where = f"entry point '{entry.name}' of group {ENTRY_POINT_GROUP} ({entry.value})"
    try:
        loaded = entry.load()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{where} cannot be loaded: {error}") from error
    if not isinstance(loaded, Blueprint) or loaded.name != entry.name:
        raise ValueError(f"{where} must be a Blueprint named '{entry.name}', got {loaded!r}")
    return loaded
