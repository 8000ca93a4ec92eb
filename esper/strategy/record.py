"""Records of a ledger: one per seed, and one per pool of similar slots.

Composite score: the mean of its known parts, each in [0, 1],

    accuracy   = 0.5 + mean accuracy improvement / 0.1     (0 at -5 points, 1 at +5)
    loss       = 0.5 + mean loss reduction / 0.2           (0 at -10 %, 1 at +10 %)
    efficiency = mean of the parts above / (1 + mean memory / 100 MB)

clipped.  A seed that changes nothing scores about 0.5, a harmful one less.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from esper.contracts.ledger import LedgerEntry, Measurement, PoolPrior
from esper.strategy.base import MAX_WINDOW

WINDOW = 20
"""Number of measurements kept of a seed's present activation."""

_LARGEST = 99_900.0
_ACCURACY_RANGE = 0.1
_LOSS_RANGE = 0.2
_MEMORY_HALVING_MB = 100.0


@dataclass(slots=True)
class SeedRecord:
    """One seed's history in this run; always at most 1 KB as JSON.

    accuracy, loss, memory: windows of the present activation only, because an earlier one may have
        had another blueprint; oldest first, rounded to three digits.
    """

    activations: int = 0
    accuracy: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def activate(self) -> None:
        """Count an activation and empty the windows."""
        self.activations += 1
        for window in (self.accuracy, self.loss, self.memory):
            window.clear()

    def measure(self, measured: Measurement) -> None:
        """Append a measurement to the windows."""
        _append(self.accuracy, measured.accuracy_improvement)
        _append(self.loss, measured.loss_reduction)
        _append(self.memory, measured.memory_mb)

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


@dataclass(slots=True)
class Pool:
    """Results of one blueprint in every slot of one kind and placement; constant memory.

    trials, reward_sum: number of settled activations with a reward, and sum of the raw rewards.
    gains, gain_sum: number of known loss reductions, and their sum.
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

    def expect(self, prior: PoolPrior) -> None:
        """Count a prior as its number of trials, each with the mean reward and gain."""
        self.trials += prior.trials
        self.reward_sum += prior.trials * prior.mean_reward
        self.recent = [*[prior.mean_reward] * prior.trials, *self.recent][-MAX_WINDOW:]
        if prior.mean_gain is not None:
            self.gains += prior.trials
            self.gain_sum += prior.trials * prior.mean_gain


def _append(window: list[float], value: float | None) -> None:
    # Three digits and a bounded size keep a record under 1 KB of readable JSON.
    if value is not None:
        bounded = max(-_LARGEST, min(_LARGEST, round(value, 6)))
        window.append(float(f"{bounded:.3g}"))
        del window[:-WINDOW]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _clip(value: float) -> float:
    return min(1.0, max(0.0, value))
