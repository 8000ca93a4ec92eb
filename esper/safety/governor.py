"""Judge a network by its losses: clean, suspect, or to be rolled back.

    limit = min(max(m + (rise - 1) * |m|, floor * scale), chance)

m is the median of the last `window` clean validation losses; the first term is `rise` times m if m
is positive.  `scale` is the loss at chance level, or the size of the first clean loss if chance
level is unknown.  The third term applies only if chance level is known and m is below it.

A validation loss above the limit is suspect, and so is one equal to a limit that is chance level.
`sustained` suspect losses in a row, or one loss that is not finite, call for a rollback.  Plain
overfitting is not suspect: no kernel came or went since the network was last clean, and the
training loss is at most max(1.2 t, floor * scale), t being the median training loss of that window.
"""

import math
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Any

from esper.contracts.checks import require
from esper.safety.options import GovernorOptions

_FEWEST = 3
"""Smallest number of losses whose median one outlier cannot move."""
_NOISE = 1.2
"""Factor by which harmless training losses may exceed their median."""


class HealthKind(StrEnum):
    """Verdicts on a network."""

    CLEAN = "clean"
    SUSPECT = "suspect"
    ROLL_BACK = "roll_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Verdict on one evaluation.

    limit: validation loss above which the network is suspect; None without a limit.
    """

    kind: HealthKind
    reason: str
    limit: float | None


class LossMonitor:
    """Judges each evaluation of a run by the clean losses before it.

    rollbacks: number of rollbacks so far; the caller counts them.
    is_armed: whether finite losses can be suspect yet; stays True.

    Args:
        options: when a loss is suspect.
        chance_loss: loss of a network that guesses, such as ln(classes); None if unknown.

    Raises:
        ValueError: if `chance_loss` is not finite and > 0.
    """

    def __init__(self, options: GovernorOptions, chance_loss: float | None = None) -> None:
        is_valid = chance_loss is None or 0 < chance_loss < math.inf
        require(is_valid, "chance_loss", "> 0 and finite, or None", chance_loss)
        self.options, self.chance_loss = options, chance_loss
        self.rollbacks = 0
        self.is_armed = False
        self._clean: deque[float] = deque(maxlen=options.window)
        self._trained: deque[float] = deque(maxlen=options.window)
        self._suspects: list[int] = []
        self._first: float | None = None

    @property
    def limit(self) -> float | None:
        """Validation loss above which the network is suspect.

        None until armed, and once growth has ended, because then no kernel can do harm.
        """
        if not self.is_armed or self.has_ended_growth:
            return None
        limit = self._risen(self._clean, self.options.rise)
        if self.chance_loss is None or median(self._clean) >= self.chance_loss:
            # Plain overfitting can raise the loss above chance level.
            return limit
        return min(limit, self.chance_loss)

    @property
    def has_ended_growth(self) -> bool:
        """True once there were so many rollbacks that growth ends."""
        return self.rollbacks >= self.options.max_rollbacks

    def check(
        self,
        epoch: int,
        val_loss: float,
        train_loss: float | None,
        is_finite: bool,
        is_grown: bool = True,
    ) -> Health:
        """Judge the network after an epoch; keep its losses if they are clean.

        Args:
            epoch: number of finished epochs.
            val_loss: validation loss after the epoch.
            train_loss: mean training loss of the epoch, None if unknown.
            is_finite: False if a loss or gradient of the epoch's training was not finite.
            is_grown: False if no kernel is on trial, came or went since the network was clean.
        """
        limit = self.limit
        broken = _not_finite(val_loss, train_loss, is_finite)
        if broken is not None:
            self._suspects.clear()
            return Health(kind=HealthKind.ROLL_BACK, reason=broken, limit=limit)
        is_high = limit is not None and (val_loss > limit or val_loss == limit == self.chance_loss)
        if limit is not None and is_high and (is_grown or not self._is_usual(train_loss)):
            return self._suspect(epoch, val_loss, limit)
        self._keep(val_loss, train_loss)
        known = "no limit yet" if limit is None else f"the limit is {limit:.4g}"
        reason = f"validation loss {val_loss:.4g}, {known}"
        return Health(kind=HealthKind.CLEAN, reason=reason, limit=limit)

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
        """Restore a state from `state_dict`; a shorter window keeps the latest losses."""
        self._clean = deque(state["clean"], maxlen=self.options.window)
        self._trained = deque(state["trained"], maxlen=self.options.window)
        self._suspects = list(state["suspects"])
        self._first = state["first"]
        self.is_armed = state["is_armed"]
        self.rollbacks = state["rollbacks"]

    def _risen(self, losses: deque[float], factor: float) -> float:
        """Return `factor` times the median of losses, at least the floor."""
        assert self._first is not None, "a clean loss comes first"
        scale = abs(self._first) if self.chance_loss is None else self.chance_loss
        middle = median(losses)
        return max(middle + (factor - 1) * abs(middle), self.options.floor * scale)

    def _is_usual(self, train_loss: float | None) -> bool:
        """Return whether a training loss is no higher than those of the clean epochs."""
        if train_loss is None or not self._trained:
            return False
        return train_loss <= self._risen(self._trained, _NOISE)

    def _suspect(self, epoch: int, val_loss: float, limit: float) -> Health:
        self._suspects.append(epoch)
        num, needed = len(self._suspects), self.options.sustained
        reason = f"{self._why(val_loss, limit)}, {num} of {needed} evaluations in a row"
        if num > 1:
            reason += f" since epoch {self._suspects[0]}"
        if num < needed:
            return Health(kind=HealthKind.SUSPECT, reason=reason, limit=limit)
        self._suspects.clear()
        return Health(kind=HealthKind.ROLL_BACK, reason=reason, limit=limit)

    def _why(self, val_loss: float, limit: float) -> str:
        if self.chance_loss is not None and limit <= self.chance_loss <= val_loss:
            return f"validation loss {val_loss:.4g} is at chance level, {self.chance_loss:.4g}"
        middle, num = median(self._clean), len(self._clean)
        return (
            f"validation loss {val_loss:.4g} > {limit:.4g}, where the median of the last {num} "
            f"clean losses is {middle:.4g}"
        )

    def _keep(self, val_loss: float, train_loss: float | None) -> None:
        """Add clean losses; arm once the validation losses are below chance level."""
        self._suspects.clear()
        self._clean.append(val_loss)
        if train_loss is not None:
            self._trained.append(train_loss)
        if self._first is None:
            self._first = val_loss
        num, window = len(self._clean), self.options.window
        if self.chance_loss is None:
            arms = num >= window
        else:
            is_low = median(self._clean) < self.options.armed_below * self.chance_loss
            arms = is_low and num >= min(_FEWEST, window)
        self.is_armed = self.is_armed or arms


def _not_finite(val_loss: float, train_loss: float | None, is_finite: bool) -> str | None:
    if not math.isfinite(val_loss):
        return f"validation loss is {val_loss}"
    if train_loss is not None and not math.isfinite(train_loss):
        return f"training loss is {train_loss}"
    return None if is_finite else "a loss or gradient of the epoch's training was not finite"
