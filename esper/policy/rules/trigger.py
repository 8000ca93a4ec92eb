"""Decide when it is time to grow.

    early      the slope of the loss (see `flatness`) is at most `slope_share` of the steepest slope
               at the present size of the network; in the first `UNTRAINED_EPOCHS` epochs only once
               the loss has begun to fall; or no trial was open for `idle_epochs` epochs, because
               some hosts learn faster and faster, and the next one learns faster still
    plateau    the smoothed improvement stayed small for `plateau_epochs_to_germinate` epochs
    slope      (mean of the older window - mean of the newer) / |mean of the older| < threshold,
               windows of `slope_window` epochs of the train loss, both after the last change
    fractions  the k-th growth event is due at the k-th fraction of the budget
    jump       the training loss rose abruptly (see `flatness`): the data have drifted

`early` depends on no budget.  It reads the training loss, or the validation loss if the training
loss is unknown.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from esper.contracts.checks import require
from esper.contracts.observation import Observation
from esper.policy.base import Rules
from esper.policy.rules import flatness
from esper.policy.rules.counters import last_change
from esper.policy.rules.growth import Trigger

TRIGGERS = ("early", "plateau", "slope", "fractions", "jump")

UNTRAINED_EPOCHS = 3
"""Epochs in which `early` waits for the loss to leave that of the untrained network.  Convolutional
hosts start on such a plateau; growth there makes them worse.  One that lasts longer is flat."""


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
    slope_share: for `early`, largest slope that counts as flat, relative to the steepest.
    idle_epochs: for `early`, epochs without a trial after which it fires at any slope.
    plateau_epochs_to_germinate, min_epochs_before_germinate: for `plateau`, flat epochs until it
        fires, and the first epoch in which it can.
    slope_window, slope_threshold: for `slope`, epochs in a window, and the least relative fall.
    """

    trigger: str = "early"
    slope_share: float = 0.5
    idle_epochs: int = 6
    plateau_epochs_to_germinate: int = 3
    min_epochs_before_germinate: int = 5
    slope_window: int = 3
    slope_threshold: float = 0.15

    def __post_init__(self) -> None:
        start, allowed = self.min_epochs_before_germinate, f"one of {', '.join(TRIGGERS)}"
        require(self.trigger in TRIGGERS, "policy.trigger", allowed, self.trigger)
        require(start >= 0, "policy.min_epochs_before_germinate", ">= 0", start)
        for key in ("idle_epochs", "plateau_epochs_to_germinate", "slope_window"):
            require(getattr(self, key) >= 1, f"policy.{key}", ">= 1", getattr(self, key))
        for key in ("slope_share", "slope_threshold"):
            value = getattr(self, key)
            require(0 <= value <= 1, f"policy.{key}", "in [0, 1]", value)
        super().__post_init__()


def due_epoch(fraction: float, epochs: int) -> int:
    """Return the first epoch at or after a fraction of the budget, at least 1."""
    # In binary 0.07 * 100 is slightly above 7; without rounding it would give epoch 8.
    return max(1, math.ceil(round(fraction * epochs, 9)))


def check_trigger(observation: Observation, rules: TriggerRules, events: int) -> Trigger:
    """Return whether it is time for the next growth event; `events` happened so far."""
    if rules.trigger == "fractions":
        return check_fraction(observation, rules.fractions, events)
    return _CHECKS[rules.trigger](observation, rules)


def check_fraction(observation: Observation, fractions: tuple[float, ...], events: int) -> Trigger:
    """Return whether the run has reached the fraction of the next event."""
    if events >= len(fractions):
        return Trigger(fires=False, reason=f"all {events} planned growth events are over")
    fraction, epoch, epochs = fractions[events], observation.epoch, observation.epochs
    is_due = epoch >= due_epoch(fraction, epochs)
    sign = ">=" if is_due else "<"
    reason = f"epoch {epoch} {sign} {100 * fraction:g} % of {epochs} (growth event {events + 1})"
    return Trigger(fires=is_due, reason=reason)


def _early(observation: Observation, rules: TriggerRules) -> Trigger:
    idle = 0 if observation.live_seeds else observation.epoch - last_change(observation)
    if idle >= rules.idle_epochs:
        return Trigger(fires=True, reason=f"no trial for {idle} epochs >= {rules.idle_epochs}")
    return _flat(observation, rules)


def _flat(observation: Observation, rules: TriggerRules) -> Trigger:
    curve, name = observation.curve, observation.curve_source
    parts = max(map(len, observation.part_losses), default=1)
    least = max(flatness.LEAST_POINTS, 2 * parts)
    slopes = flatness.slopes(curve, least)
    if not slopes:
        have = sum(point.count for point in curve)
        reason = f"slope needs {least} points of {name} loss at this size, has {have}"
        return Trigger(fires=False, reason=reason)
    if observation.epoch <= UNTRAINED_EPOCHS and flatness.is_untrained(curve):
        reason = f"{name} loss has hardly fallen from that of the untrained network"
        return Trigger(fires=False, reason=f"{reason}, {curve[0].loss:.3g}")
    slope, steepest = slopes[-1], flatness.steepest(curve, least)
    is_flat = slope <= rules.slope_share * steepest
    return Trigger(fires=is_flat, reason=f"{name} loss {_fall(slope, steepest, is_flat, rules)}")


def _fall(slope: float, steepest: float, is_flat: bool, rules: TriggerRules) -> str:
    if slope < 0:
        return f"rises by {-slope:.3g} a doubling of FLOPs, its steepest fall is {steepest:.3g}"
    share = f"{100 * rules.slope_share:g} % of the steepest, {steepest:.3g}"
    return f"falls by {slope:.3g} a doubling of FLOPs {'<=' if is_flat else '>'} {share}"


def _jump(observation: Observation, rules: TriggerRules) -> Trigger:
    if not any(observation.part_losses):
        return Trigger(fires=False, reason="a jump needs training losses, none is known")
    found = flatness.jump(observation.part_losses)
    if found is None:
        return Trigger(fires=False, reason="training loss has no jump")
    reason = f"training loss jumps to {found[0]:.3g}, its mean before is {found[1]:.3g}"
    return Trigger(fires=True, reason=reason)


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


_CHECKS: dict[str, Callable[[Observation, TriggerRules], Trigger]] = {
    "early": _early,
    "plateau": _plateau,
    "slope": _slope,
    "jump": _jump,
}
"""The triggers that need no count of growth events."""
