"""Decide when it is time to grow.

    plateau    the smoothed improvement stayed small for `plateau_epochs_to_germinate` epochs
    slope      (mean of the older window - mean of the newer) / |mean of the older| < threshold,
               windows of `slope_window` epochs of the train loss, both after the last change
    fractions  the k-th growth event is due at the k-th fraction of the budget
    early      slope or fractions until `early_until` of the budget, then plateau

`plateau` alone is too late: it fires at epoch 15 to 40 of 40, while growth in the first quarter of
the budget recovers most of the gap to the larger network.
"""

import math
from dataclasses import dataclass

from esper.contracts.checks import require
from esper.contracts.observation import Observation
from esper.policy.base import Rules
from esper.policy.rules.counters import last_change
from esper.policy.rules.growth import Trigger

TRIGGERS = ("early", "plateau", "slope", "fractions")


@dataclass(frozen=True, kw_only=True)
class FractionRules(Rules):
    """At which fractions of the budget to grow; the field is a key of `policy`.

    fractions: when the first, second, ... growth event is due, ascending in (0, 1].
    """

    fractions: tuple[float, ...] = (0.10, 0.17, 0.25)

    def __post_init__(self) -> None:
        shares = tuple(self.fractions)
        object.__setattr__(self, "fractions", shares)
        valid = all(0 < share <= 1 for share in shares) and list(shares) == sorted(shares)
        require(valid, "policy.fractions", "ascending and in (0, 1]", list(shares))
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class TriggerRules(FractionRules):
    """When to grow; the fields are keys of `policy`.

    trigger: one of `TRIGGERS`.
    min_epochs_before_germinate: first epoch in which a plateau can fire.
    early_until: fraction of the budget after which `early` waits for a plateau.
    """

    trigger: str = "early"
    plateau_epochs_to_germinate: int = 3
    min_epochs_before_germinate: int = 5
    early_until: float = 0.30
    slope_window: int = 3
    slope_threshold: float = 0.15

    def __post_init__(self) -> None:
        start, allowed = self.min_epochs_before_germinate, f"one of {', '.join(TRIGGERS)}"
        require(self.trigger in TRIGGERS, "policy.trigger", allowed, self.trigger)
        require(start >= 0, "policy.min_epochs_before_germinate", ">= 0", start)
        for key in ("plateau_epochs_to_germinate", "slope_window"):
            require(getattr(self, key) >= 1, f"policy.{key}", ">= 1", getattr(self, key))
        for key in ("early_until", "slope_threshold"):
            value = getattr(self, key)
            require(0 <= value <= 1, f"policy.{key}", "in [0, 1]", value)
        super().__post_init__()


def due_epoch(fraction: float, epochs: int) -> int:
    """Return the first epoch at or after a fraction of the budget, at least 1."""
    # In binary 0.07 * 100 is slightly above 7; without rounding it would give epoch 8.
    return max(1, math.ceil(round(fraction * epochs, 9)))


def check_trigger(observation: Observation, rules: TriggerRules, events: int) -> Trigger:
    """Return whether it is time for the next growth event; `events` happened so far."""
    if rules.trigger == "plateau":
        return _plateau(observation, rules)
    if rules.trigger == "slope":
        return _slope(observation, rules)
    if rules.trigger == "fractions":
        return check_fraction(observation, rules.fractions, events)
    return _early(observation, rules, events)


def check_fraction(observation: Observation, fractions: tuple[float, ...], events: int) -> Trigger:
    """Return whether the run has reached the fraction of the next event."""
    if events >= len(fractions):
        return Trigger(fires=False, reason=f"all {events} planned growth events are over")
    fraction, epoch, epochs = fractions[events], observation.epoch, observation.epochs
    is_due = epoch >= due_epoch(fraction, epochs)
    sign = ">=" if is_due else "<"
    reason = f"epoch {epoch} {sign} {100 * fraction:g} % of {epochs} (growth event {events + 1})"
    return Trigger(fires=is_due, reason=reason)


def _early(observation: Observation, rules: TriggerRules, events: int) -> Trigger:
    if observation.epoch > rules.early_until * observation.epochs:
        return _plateau(observation, rules)
    fraction = check_fraction(observation, rules.fractions, events)
    if fraction.fires or events >= len(rules.fractions):
        return fraction
    slope = _slope(observation, rules)
    if slope.fires:
        return slope
    return Trigger(fires=False, reason=f"{fraction.reason}; {slope.reason}")


def _plateau(observation: Observation, rules: TriggerRules) -> Trigger:
    epoch, start = observation.epoch, rules.min_epochs_before_germinate
    if epoch < start:
        return Trigger(fires=False, reason=f"epoch {epoch} < {start}, too young for a plateau")
    flat = min(observation.plateau_epochs, epoch - last_change(observation))
    needed = rules.plateau_epochs_to_germinate
    sign = ">=" if flat >= needed else "<"
    return Trigger(fires=flat >= needed, reason=f"{flat} plateau epochs {sign} {needed}")


def _slope(observation: Observation, rules: TriggerRules) -> Trigger:
    window = rules.slope_window
    name, losses = _losses(observation, 2 * window)
    have = min(len(losses), observation.epoch - last_change(observation))
    if have < 2 * window:
        reason = f"slope needs {2 * window} epochs of {name} loss since the last change, has {have}"
        return Trigger(fires=False, reason=reason)
    older, newer = sum(losses[:window]) / window, sum(losses[window:]) / window
    slope = (older - newer) / abs(older) if older else 0.0
    is_flat = slope < rules.slope_threshold
    sign = "<" if is_flat else ">="
    reason = f"{name} loss falls by {100 * slope:.3g} % {sign} {100 * rules.slope_threshold:g} %"
    return Trigger(fires=is_flat, reason=f"{reason} over two windows of {window} epochs")


def _losses(observation: Observation, limit: int) -> tuple[str, list[float]]:
    """Return the last train losses, or the validation losses if train losses are not known."""
    train = observation.train_losses[-limit:]
    if train and all(loss is not None for loss in train):
        return "train", [loss for loss in train if loss is not None]
    val = observation.val_losses[-limit:]
    return "validation", list(val) if all(math.isfinite(loss) for loss in val) else []
