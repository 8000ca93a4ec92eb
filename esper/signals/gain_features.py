"""What the gain model reads of an observation: a row of numbers for each germination on offer.

A row holds the state of the run, the signals of the slot (as they are, and relative to the mean of
all slots), the kernel's cost and first-order score, and products with the share of the budget that
is left.  Unmeasured signals are NaN.  Prices are not among them: the model predicts the gain.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from esper.contracts.health import Birth, BlockHealth
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
    "alone",
    "frozen",
    "log_units",
    "rel_log_units",
    "log_rank",
    "rel_log_rank",
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
    "alone",
    "rel_first_order",
    "log_first_order",
)
"""Features that also count times the share of the budget that is left."""

ALONE = (
    "rel_log_parameters",
    "rel_log_units",
    "rel_log_rank",
    "log_rank",
    "rel_linear_gain",
    "rel_activation_variance",
    "rel_dead_units",
    "rel_first_order",
    "frozen",
    "kept_here",
)
"""Features that also count times that share where no data pass by the block."""

FEATURES = (
    *RUN,
    *SLOT,
    *KERNEL,
    *(f"left_{name}" for name in TIMED),
    *(f"alone_{name}" for name in ALONE),
)
"""The names of all features, in order."""


GROUPS = (frozenset(RUN), frozenset(SLOT), frozenset(KERNEL))
"""The features that tell of the run, of the slot and of the kernel, without those times a share."""


def group_of(name: str) -> int:
    """Return the place in `GROUPS` of a feature."""
    plain = name if name in RUN + SLOT + KERNEL else name.partition("_")[2]
    return next(place for place, group in enumerate(GROUPS) if plain in group)


@dataclass(frozen=True, slots=True)
class Offer:
    """A germination that the policy may ask for, with its features by name."""

    slot: str
    birth: Birth
    features: dict[str, float]


def offers_of(observation: Observation, slots: Sequence[SlotState]) -> list[Offer]:
    """Return the germinations on offer in some of the slots that a probe has measured."""
    run = _run_features(observation)
    means, scores = _means(observation.slots), _mean_scores(observation.slots)
    left = 1 - observation.epoch / max(1, observation.epochs)
    offers = []
    for slot in slots:
        if slot.health is None:
            continue
        own = _slot_features(observation, slot, means)
        alone = left * own["alone"]
        shared = {**run, **own, **_products(own, left, alone)}
        for birth in slot.births:
            kernel = _kernel_features(slot, birth, scores)
            values = {**shared, **kernel, **_products(kernel, left, alone)}
            features = {name: values[name] for name in FEATURES}
            offers.append(Offer(slot.spec.name, birth, features))
    return offers


def _products(values: dict[str, float], left: float, alone: float) -> dict[str, float]:
    """Return the features of some values that count times the share left, see `TIMED`, `ALONE`."""
    timed = {f"left_{name}": left * values[name] for name in TIMED if name in values}
    return timed | {f"alone_{name}": alone * values[name] for name in ALONE if name in values}


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
) -> dict[str, float]:
    health, flow = slot.health, observation.data_flow
    assert health is not None, "slots without health have no offers"
    values = {name: _number(getattr(health, name)) for name in HEALTH}
    relative = {f"rel_{name}": values[name] - means[name] for name in HEALTH}
    sizes: dict[str, float] = {}
    for name, value in _sizes(health).items():
        sizes |= {name: value, f"rel_{name}": value - means[name]}
    kept = sum(seed.stage is SeedStage.FOSSILIZED for seed in slot.seeds)
    return {
        **values,
        **relative,
        "position": health.position,
        "is_first": float(health.position == 0),
        "is_last": float(health.position == 1),
        "alone": float(flow is not None and slot.spec.name in flow.unavoidable),
        "frozen": float(health.gradient_norm is None),
        **sizes,
        "narrow": max(0.0, -relative["rel_log_parameters"]) ** 2,
        "slots": math.log(len(observation.slots)),
        "kept_here": float(kept),
        "live_here": float(len(slot.live)),
        **{kind: float(slot.spec.kind == kind) for kind in SlotKind},
    }


def _kernel_features(slot: SlotState, birth: Birth, scores: dict[str, float]) -> dict[str, float]:
    score = _log(birth.first_order)
    here = [_log(each.first_order) for each in slot.births]
    return {
        "log_first_order": score,
        "rel_first_order": score - scores[birth.blueprint],
        "own_first_order": score - _mean(here),
        "log_flops": math.log2(1 + birth.added_flops),
        **{name: float(birth.blueprint == name) for name in BLUEPRINTS},
    }


def _mean_scores(slots: Sequence[SlotState]) -> dict[str, float]:
    """Return the mean log score of each blueprint over the slots that offer it."""
    scores: dict[str, list[float]] = {}
    for birth in (birth for slot in slots for birth in slot.births):
        scores.setdefault(birth.blueprint, []).append(_log(birth.first_order))
    return {name: _mean(values) for name, values in scores.items()}


def _means(slots: Sequence[SlotState]) -> dict[str, float]:
    """Return the mean of each signal over the slots, NaN where it is measured nowhere."""
    known = [slot.health for slot in slots if slot.health is not None]
    signals = {name: [_number(getattr(each, name)) for each in known] for name in HEALTH}
    sizes = [_sizes(each) for each in known]
    signals |= {name: [each[name] for each in sizes] for name in ("log_units", "log_rank")}
    return {name: _mean(values) for name, values in signals.items()}


def _sizes(health: BlockHealth) -> dict[str, float]:
    """Return the logarithms of the number of hidden units and of their effective rank."""
    units, share = _number(health.units), _number(health.effective_rank)
    return {"log_units": _log(units), "log_rank": _log(units * share)}


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
