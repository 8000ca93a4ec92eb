"""What the gain model reads of an observation: a row of numbers for each germination on offer.

A row holds the state of the run, the signals of the slot (as they are, and relative to the mean of
all slots), the kernel's cost and first-order score, and products with the share of the budget that
is left.  Unmeasured signals are NaN.  Prices are not among them: the model predicts the gain.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from esper.contracts.data_flow import DataFlow
from esper.contracts.health import Birth
from esper.contracts.observation import Observation
from esper.contracts.slot import SeedState, SlotKind, SlotState
from esper.contracts.stage import SeedStage

HEALTH = (
    "log_parameters",
    "activation_variance",
    "weight_norm",
    "linear_gain",
    "effective_rank",
    "gradient_norm",
    "update_ratio",
    "dead_units",
    "correlation",
    "gradient_noise",
)
"""Signals of `BlockHealth` that count as they are, and relative to the other slots."""

BLUEPRINTS = (
    "mlp",
    "gated_mlp",
    "affine",
    "lora",
    "conv",
    "bottleneck",
    "convnext",
    "depthwise",
    "attention",
)
"""Blueprints with a column of their own."""

RUN = (
    "epoch_share",
    "log_epochs",
    "log_val_loss",
    "log_train_loss",
    "gap",
    "slope",
    "long_slope",
    "behind_best",
    "kept",
    "live",
)
SLOT = (
    *HEALTH,
    *(f"rel_{name}" for name in HEALTH),
    "position",
    "is_first",
    "is_last",
    "bypassed",
    "narrow",
    "slots",
    "kept_here",
    "live_here",
    *(str(kind) for kind in SlotKind),
)
KERNEL = ("log_first_order", "rel_first_order", "own_first_order", "log_flops", *BLUEPRINTS)
TIMED = (
    "rel_log_parameters",
    "rel_linear_gain",
    "rel_activation_variance",
    "rel_effective_rank",
    "rel_dead_units",
    "rel_gradient_norm",
    "linear_gain",
    "bypassed",
    "rel_first_order",
    "log_first_order",
)
"""Features that also count times the share of the budget that is left."""

FEATURES = (*RUN, *SLOT, *KERNEL, *(f"left_{name}" for name in TIMED))
"""The names of all features, in order."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A germination that the policy may ask for, with its features by name."""

    slot: str
    birth: Birth
    features: dict[str, float]


def offers_of(observation: Observation, slots: Sequence[SlotState]) -> list[Offer]:
    """Return the germinations on offer in some of the slots that a probe has measured."""
    run = _run_features(observation)
    means = _means(observation.slots)
    around = _bypassed(observation.data_flow)
    left = 1 - observation.epoch / max(1, observation.epochs)
    offers = []
    for slot in slots:
        if slot.health is None:
            continue
        own = _slot_features(observation, slot, means, around)
        for birth in slot.births:
            kernel = _kernel_features(observation, slot, birth)
            values = {**run, **own, **kernel}
            timed = {f"left_{name}": left * values[name] for name in TIMED}
            offers.append(Offer(slot.spec.name, birth, {**values, **timed}))
    return offers


def recorded(features: Mapping[str, float]) -> tuple[float | None, ...]:
    """Return features in the order of `FEATURES`, to 4 significant digits; None if unmeasured."""
    values = [features[name] for name in FEATURES]
    return tuple(float(f"{each:.4g}") if math.isfinite(each) else None for each in values)


def _run_features(observation: Observation) -> dict[str, float]:
    losses = [loss for loss in observation.val_losses if math.isfinite(loss)]
    train = observation.metrics.train_loss
    now = observation.metrics.val_loss
    best = observation.best_val_loss
    return {
        "epoch_share": observation.epoch / max(1, observation.epochs),
        "log_epochs": math.log(observation.epochs),
        "log_val_loss": _log(now),
        "log_train_loss": _log(train),
        "gap": _log(now) - _log(train),
        "slope": _log(losses[-2]) - _log(losses[-1]) if len(losses) > 1 else math.nan,
        "long_slope": _long_slope(losses),
        "behind_best": _log(now) - _log(best),
        "kept": sum(s.stage is SeedStage.FOSSILIZED for s in _seeds(observation)),
        "live": sum(s.is_live for s in _seeds(observation)),
    }


def _slot_features(
    observation: Observation,
    slot: SlotState,
    means: dict[str, float],
    around: dict[str, float],
) -> dict[str, float]:
    health = slot.health
    values = {name: _number(getattr(health, name)) for name in HEALTH}
    relative = {f"rel_{name}": values[name] - means[name] for name in HEALTH}
    assert health is not None, "slots without health have no offers"
    kept = sum(seed.stage is SeedStage.FOSSILIZED for seed in slot.seeds)
    return {
        **values,
        **relative,
        "position": health.position,
        "is_first": float(health.position == 0),
        "is_last": float(health.position == 1),
        "bypassed": around.get(slot.spec.name, 0.0),
        "narrow": max(0.0, -relative["rel_log_parameters"]) ** 2,
        "slots": math.log(len(observation.slots)),
        "kept_here": float(kept),
        "live_here": float(len(slot.live)),
        **{kind: float(slot.spec.kind == kind) for kind in SlotKind},
    }


def _kernel_features(observation: Observation, slot: SlotState, birth: Birth) -> dict[str, float]:
    score = _log(birth.first_order)
    here = [_log(each.first_order) for each in slot.births]
    alike = [
        _log(each.first_order)
        for other in observation.slots
        for each in other.births
        if each.blueprint == birth.blueprint
    ]
    return {
        "log_first_order": score,
        "rel_first_order": score - _mean(alike),
        "own_first_order": score - _mean(here),
        "log_flops": math.log2(1 + birth.added_flops),
        **{name: float(birth.blueprint == name) for name in BLUEPRINTS},
    }


def _means(slots: Sequence[SlotState]) -> dict[str, float]:
    """Return the mean of each signal over the slots, NaN where it is measured nowhere."""
    known = [slot.health for slot in slots if slot.health is not None]
    return {name: _mean([_number(getattr(each, name)) for each in known]) for name in HEALTH}


def _bypassed(flow: DataFlow | None) -> dict[str, float]:
    """Return 1 for each slot that some data pass by, without entering it, 0 for the others."""
    if flow is None:
        return {}
    places = flow.positions
    spans = [(places[edge.source], places[edge.target]) for edge in flow.edges]
    spans += [(places[name], math.inf) for name in flow.outputs]
    return {
        name: float(any(low < place < high for low, high in spans))
        for name, place in places.items()
    }


def _seeds(observation: Observation) -> list[SeedState]:
    return [seed for slot in observation.slots for seed in slot.seeds]


def _long_slope(losses: Sequence[float]) -> float:
    if len(losses) < 2:
        return math.nan
    span = min(4, len(losses) - 1)
    return (_log(losses[-1 - span]) - _log(losses[-1])) / span


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _log(value: float | None) -> float:
    return math.nan if value is None or not value > 0 else math.log(max(value, 1e-4))


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return fmean(known) if known else math.nan
