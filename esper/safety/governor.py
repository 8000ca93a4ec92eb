"""Judge from its losses whether a network is well, is suspect, or must be rolled back.

    limit = min(max(m + (rise - 1) * |m|, floor * scale), chance)

m is the median of the last `window` clean losses, and the first term `rise` times m where m is
positive.  `scale` is the loss at chance level, or the size of the first clean loss where that is
not known; then the limit has no third term, nor has it where m is at chance level or above.  A
validation loss above the limit, or at chance level where that is the limit, is suspect; so many
suspect ones in a row call for a rollback.  What is not finite calls for one at once.

A host that overfits by itself is not suspect: its validation loss rises while its training loss
stays at or under what is usual, max(1.2 t, floor * scale) with t the median of the training losses
of the same window, and no kernel has come or gone since the network was last clean.
"""

import math
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Any

_FEWEST = 3
"""The least number of losses whose median one stray loss cannot move."""
_NOISE = 1.2
"""Factor to which losses swing by themselves."""


class HealthKind(StrEnum):
    """How a network stands."""

    CLEAN = "clean"
    SUSPECT = "suspect"
    ROLL_BACK = "roll_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What one look at a network found.

    limit: the validation loss above which a network is suspect; None while none is set.
    """

    kind: HealthKind
    reason: str
    limit: float | None


@dataclass(frozen=True)
class GovernorOptions:
    """When a network has come to harm, and how much of that ends its growth.

    enabled: False finds every network clean.
    rise: > 1, times the median of the last clean losses that a loss may reach.
    window: how many clean losses the median is of.
    sustained: suspect evaluations in a row that call for a rollback.
    max_rollbacks: the rollback with which growth ends.
    armed_below: share of chance level, in (0, 1], under which the median must have been before a
        finite loss is suspect.
    floor: share of chance level, in [0, 1), that a loss must exceed to be suspect: a tiny loss
        changes by factors and means nothing by it.
    """

    enabled: bool = True
    rise: float = 3.0
    window: int = 10
    sustained: int = 2
    max_rollbacks: int = 3
    armed_below: float = 0.7
    floor: float = 0.1

    def __post_init__(self) -> None:
        _require(1 < self.rise < math.inf, "rise", "> 1 and finite", self.rise)
        for key in ("window", "sustained", "max_rollbacks"):
            count = getattr(self, key)
            _require(isinstance(count, int) and count >= 1, key, "a whole number >= 1", count)
        _require(0 < self.armed_below <= 1, "armed_below", "in (0, 1]", self.armed_below)
        _require(0 <= self.floor < 1, "floor", "in [0, 1)", self.floor)


class LossMonitor:
    """Remembers the clean losses of one run and judges each new one beside them.

    Args:
        options: when a loss is suspect.
        chance_loss: loss of a network that knows nothing, such as ln(classes); None if unknown.
        rollbacks: how many there were.
        is_armed: whether a finite loss can be suspect yet; once it can, it always can.

    Raises:
        ValueError: if `chance_loss` is not finite and > 0.
    """

    def __init__(self, options: GovernorOptions, chance_loss: float | None = None) -> None:
        if chance_loss is not None and not 0 < chance_loss < math.inf:
            raise ValueError(f"chance_loss must be > 0 and finite, or None, got {chance_loss}")
        self.options, self.chance_loss = options, chance_loss
        self.rollbacks = 0
        self.is_armed = False
        self._clean: deque[float] = deque(maxlen=options.window)
        self._trained: deque[float] = deque(maxlen=options.window)
        self._suspects: list[int] = []
        self._first: float | None = None

    @property
    def limit(self) -> float | None:
        """The validation loss above which the network is suspect; None while not armed."""
        if not self.is_armed or self.rollbacks >= self.options.max_rollbacks:
            # What does harm once growth has ended is the host's own: it may overfit.
            return None
        middle = median(self._clean)
        risen = middle + (self.options.rise - 1) * abs(middle)
        limit = max(risen, self.options.floor * self._scale)
        if self.chance_loss is None or middle >= self.chance_loss:
            # A host that overfits stands above chance level by itself: that says nothing more.
            return limit
        return min(limit, self.chance_loss)

    def check(
        self,
        epoch: int,
        val_loss: float,
        train_loss: float | None,
        is_finite: bool,
        is_grown: bool = True,
    ) -> Health:
        """Judge the network after an epoch; a clean loss is remembered.

        Args:
            epoch: number of finished epochs.
            val_loss: its validation loss.
            train_loss: mean loss of its training, None when not known.
            is_finite: False when a loss or gradient of its training was not finite.
            is_grown: False when no kernel has its part in what the network is since it was clean.
        """
        if not self.options.enabled:
            return Health(kind=HealthKind.CLEAN, reason="the governor is off", limit=None)
        limit = self.limit
        broken = _not_finite(val_loss, train_loss, is_finite)
        if broken is not None:
            self._suspects.clear()
            return Health(kind=HealthKind.ROLL_BACK, reason=broken, limit=limit)
        is_high = limit is not None and (val_loss > limit or val_loss == limit == self.chance_loss)
        if limit is not None and is_high and (is_grown or not self._is_usual(train_loss)):
            return self._suspect(epoch, val_loss, limit)
        self._remember(val_loss, train_loss)
        told = "no limit yet" if limit is None else f"the limit is {limit:.4g}"
        return Health(
            kind=HealthKind.CLEAN, reason=f"validation loss {val_loss:.4g}, {told}", limit=limit
        )

    def rolled_back(self) -> bool:
        """Count a rollback and return whether growth ends with it, or has ended before."""
        self.rollbacks += 1
        return self.rollbacks >= self.options.max_rollbacks

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, ready for JSON."""
        return {
            "clean": list(self._clean),
            "trained": list(self._trained),
            "suspects": list(self._suspects),
            "first": self._first,
            "is_armed": self.is_armed,
            "rollbacks": self.rollbacks,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned; a shorter window keeps the latest losses."""
        self._clean = deque(state["clean"], maxlen=self.options.window)
        self._trained = deque(state["trained"], maxlen=self.options.window)
        self._suspects = list(state["suspects"])
        self._first = state["first"]
        self.is_armed = state["is_armed"]
        self.rollbacks = state["rollbacks"]

    @property
    def _scale(self) -> float:
        """What the floor is a share of."""
        assert self._first is not None, "armed by a clean loss"
        return abs(self._first) if self.chance_loss is None else self.chance_loss

    def _is_usual(self, train_loss: float | None) -> bool:
        """Return whether a training loss is no higher than those of the clean epochs."""
        if train_loss is None or not self._trained:
            return False
        middle = median(self._trained)
        risen = middle + (_NOISE - 1) * abs(middle)
        return train_loss <= max(risen, self.options.floor * self._scale)

    def _suspect(self, epoch: int, val_loss: float, limit: float) -> Health:
        self._suspects.append(epoch)
        num, needed = len(self._suspects), self.options.sustained
        is_enough = num >= needed
        reason = f"{self._why(val_loss, limit)}, {num} of {needed} evaluations in a row"
        if num > 1:
            reason += f" since epoch {self._suspects[0]}"
        if is_enough:
            self._suspects.clear()
        kind = HealthKind.ROLL_BACK if is_enough else HealthKind.SUSPECT
        return Health(kind=kind, reason=reason, limit=limit)

    def _why(self, val_loss: float, limit: float) -> str:
        if self.chance_loss is not None and limit <= self.chance_loss <= val_loss:
            return f"validation loss {val_loss:.4g} is at chance level, {self.chance_loss:.4g}"
        middle, num = median(self._clean), len(self._clean)
        return (
            f"validation loss {val_loss:.4g} > {limit:.4g}, where the median of the last {num} "
            f"clean losses is {middle:.4g}"
        )

    def _remember(self, val_loss: float, train_loss: float | None) -> None:
        """Take in clean losses, and arm once those of validation have left chance level."""
        self._suspects.clear()
        self._clean.append(val_loss)
        if train_loss is not None:
            self._trained.append(train_loss)
        if self._first is None:
            self._first = val_loss
        num, window = len(self._clean), self.options.window
        if self.chance_loss is None:
            has_left = num >= window
        else:
            is_low = median(self._clean) < self.options.armed_below * self.chance_loss
            has_left = is_low and num >= min(_FEWEST, window)
        self.is_armed = self.is_armed or has_left


def _not_finite(val_loss: float, train_loss: float | None, is_finite: bool) -> str | None:
    if not math.isfinite(val_loss):
        return f"validation loss is {val_loss}"
    if train_loss is not None and not math.isfinite(train_loss):
        return f"training loss is {train_loss}"
    return None if is_finite else "a loss or gradient of the epoch's training was not finite"


def _require(valid: bool, key: str, rule: str, value: object) -> None:
    if not valid:
        raise ValueError(f"governor.{key} must be {rule}, got {value}")
