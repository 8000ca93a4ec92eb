"""Choose the health signals worth telling: few of a healthy run, all that show trouble.

No time is read here: the same run tells the same signals.
"""

import math
from collections import deque
from enum import IntEnum
from typing import Any

from esper.contracts.event import SeedHealth

WINDOW = 100
"""Number of last gradient norms that a new one is compared with."""
LEAST = 10
"""Number of norms from which their spread says something."""
SIGMAS = 2.0
STRIDE = 10
"""Of the other signals, one in so many is told."""
_ROUNDING = 1e-6
"""Part of the mean that is no deviation: running sums of equal numbers show a spread like this."""


class Priority(IntEnum):
    """Why a signal is told; the higher, the sooner."""

    SAMPLE = 0
    READY = 1
    ANOMALY = 2
    ERROR = 3


class SignalFilter:
    """Lets errors, anomalies and ready seeds pass, and every tenth of the other signals."""

    def __init__(self) -> None:
        self._norms: deque[float] = deque(maxlen=WINDOW)
        self._total = self._squares = 0.0
        self._num_norms = self._num_others = 0

    def priority(self, signal: SeedHealth) -> Priority | None:
        """Return why a signal is told, None if it is not."""
        is_unusual = self._is_unusual(signal.gradient_norm)
        if signal.error_rate or not signal.finite:
            return Priority.ERROR
        if is_unusual:
            return Priority.ANOMALY
        if signal.is_ready:
            return Priority.READY
        self._num_others = (self._num_others + 1) % STRIDE
        return None if self._num_others else Priority.SAMPLE

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, as plain values."""
        return {
            "norms": list(self._norms),
            "total": self._total,
            "squares": self._squares,
            "num_norms": self._num_norms,
            "num_others": self._num_others,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._norms = deque(state["norms"], maxlen=WINDOW)
        self._total, self._squares = state["total"], state["squares"]
        self._num_norms, self._num_others = state["num_norms"], state["num_others"]

    def _is_unusual(self, norm: float | None) -> bool:
        """Compare a norm with the last ones, and add it to them; None is not measured."""
        if norm is None or not math.isfinite(norm * norm):
            return False
        is_unusual, count = False, len(self._norms)
        if count >= LEAST:
            mean = self._total / count
            spread = math.sqrt(max(0.0, self._squares / count - mean * mean))
            is_unusual = abs(norm - mean) > SIGMAS * spread + _ROUNDING * abs(mean)
        self._add(norm)
        return is_unusual

    def _add(self, norm: float) -> None:
        oldest = self._norms[0] if len(self._norms) == WINDOW else 0.0
        self._norms.append(norm)
        self._total += norm - oldest
        self._squares += norm * norm - oldest * oldest
        self._num_norms = (self._num_norms + 1) % WINDOW
        if self._num_norms == 0:  # so that a huge norm leaves no rounding errors behind for good
            self._total = math.fsum(self._norms)
            self._squares = math.fsum(each * each for each in self._norms)
