"""What a ledger keeps of one seed of one slot, and of one pool of slots alike.

Composite score: the mean of those of its three parts that are known, each in [0, 1],

    accuracy   = 0.5 + mean accuracy improvement / 0.1     (0 at -5 points, 1 at +5)
    loss       = 0.5 + mean loss reduction / 0.2           (0 at -10 %, 1 at +10 %)
    efficiency = mean of the parts above / (1 + mean memory / 100 MB)

clipped.  A seed that changes nothing scores about 0.5, one that does harm less.  Latency is kept
but not scored: a clock must not steer a run.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from esper.contracts.ledger import LedgerEntry, Measurement
from esper.strategy.base import MAX_WINDOW

WINDOW = 20
"""Measurements kept of a seed's present activation."""

_LARGEST = 99_900.0
_ACCURACY_RANGE = 0.1
_LOSS_RANGE = 0.2
_MEMORY_HALVING_MB = 100.0


def _window() -> deque[float]:
    return deque(maxlen=WINDOW)


@dataclass(slots=True)
class SeedRecord:
    """One seed's history in this run; at most 1 KB as JSON, whatever was measured.

    grafts, failures: settled activations that were kept for good, and that were not.
    settled, reward_sum: settled activations with a reward, and the sum of their raw rewards.
    accuracy, loss, latency, memory: of the present activation, since what a seed did with another
        blueprint says nothing of this one; rounded to three digits.
    """

    activations: int = 0
    grafts: int = 0
    failures: int = 0
    last_epoch: int | None = None
    settled: int = 0
    reward_sum: float = 0.0
    accuracy: deque[float] = field(default_factory=_window)
    loss: deque[float] = field(default_factory=_window)
    latency: deque[float] = field(default_factory=_window)
    memory: deque[float] = field(default_factory=_window)

    def activate(self, epoch: int) -> None:
        """Count an activation and start the windows afresh."""
        self.activations += 1
        self.last_epoch = epoch
        for window in (self.accuracy, self.loss, self.latency, self.memory):
            window.clear()

    def measure(self, measured: LedgerEntry | Measurement) -> None:
        """Append what was measured to the windows."""
        _append(self.accuracy, measured.accuracy_improvement)
        _append(self.loss, measured.loss_reduction)
        _append(self.latency, measured.latency_ms)
        _append(self.memory, measured.memory_mb)

    def settle(self, entry: LedgerEntry) -> None:
        """Count a settled activation."""
        self.measure(entry)
        if entry.fossilized:
            self.grafts += 1
        else:
            self.failures += 1
        if entry.reward is not None:
            self.settled += 1
            self.reward_sum += entry.reward

    def composite(self) -> float | None:
        """Return the composite score in [0, 1]; None when neither accuracy nor loss is known."""
        parts: list[float] = []
        if self.accuracy:
            parts.append(_clip(0.5 + _mean(self.accuracy) / _ACCURACY_RANGE))
        if self.loss:
            parts.append(_clip(0.5 + _mean(self.loss) / _LOSS_RANGE))
        if not parts:
            return None
        if self.memory:
            parts.append(_mean(parts) / (1 + max(0.0, _mean(self.memory)) / _MEMORY_HALVING_MB))
        return _mean(parts)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `from_state` needs, as JSON holds it."""
        state = {name: getattr(self, name) for name in self.__slots__}
        return {k: list(v) if isinstance(v, deque) else v for k, v in state.items()}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "SeedRecord":
        """Return the record that gave `state`."""
        windows = {
            name: deque(state[name], maxlen=WINDOW)
            for name in ("accuracy", "loss", "latency", "memory")
        }
        return cls(**{**state, **windows})


@dataclass(slots=True)
class Pool:
    """Experience of every slot of one kind and placement with one blueprint; constant memory.

    trials, reward_sum: settled activations with a reward, and the sum of their raw rewards.
    gains, gain_sum: settled activations with a known loss reduction, and the sum of those.
    recent: the last raw rewards, oldest first.
    """

    trials: int = 0
    reward_sum: float = 0.0
    gains: int = 0
    gain_sum: float = 0.0
    recent: list[float] = field(default_factory=list)

    def settle(self, entry: LedgerEntry) -> None:
        """Count a settled activation."""
        if entry.reward is not None:
            self.trials += 1
            self.reward_sum += entry.reward
            self.recent.append(entry.reward)
            del self.recent[:-MAX_WINDOW]
        if entry.loss_reduction is not None:
            self.gains += 1
            self.gain_sum += entry.loss_reduction

    def state_dict(self) -> dict[str, Any]:
        """Return everything that `from_state` needs, as JSON holds it."""
        state = {name: getattr(self, name) for name in self.__slots__}
        return {**state, "recent": list(self.recent)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Pool":
        """Return the pool that gave `state`."""
        return cls(**{**state, "recent": list(state["recent"])})


def _append(window: deque[float], value: float | None) -> None:
    # Three digits and a bounded size keep a record under 1 KB of readable JSON.
    if value is not None:
        bounded = max(-_LARGEST, min(_LARGEST, round(value, 6)))
        window.append(float(f"{bounded:.3g}"))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _clip(value: float) -> float:
    return min(1.0, max(0.0, value))
