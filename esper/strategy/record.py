"""Records of a ledger: one per seed, one per arm, and one per pool of similar slots.

Composite score: the mean of its known parts, each in [0, 1],

    accuracy   = 0.5 + mean accuracy improvement / 0.1     (0 at -5 points, 1 at +5)
    loss       = 0.5 + mean loss reduction / 0.2           (0 at -10 %, 1 at +10 %)
    efficiency = mean of the parts above / (1 + mean memory / 100 MB)

clipped.  A seed that changes nothing scores about 0.5, a harmful one less.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from esper.contracts.ledger import LedgerEntry, Measurement, SeedHistory
from esper.strategy.base import MAX_WINDOW
from esper.strategy.pooling import Tally
from esper.strategy.regression import Regression

WINDOW = 20
"""Number of measurements kept of a seed's present activation."""

_LARGEST = 99_900.0
_ACCURACY_RANGE = 0.1
_LOSS_RANGE = 0.2
_MEMORY_HALVING_MB = 100.0


@dataclass(slots=True)
class SeedRecord:
    """One seed's history in this run; always at most 1 KB as JSON.

    activations: number of germinations.
    grafts, failures: number of settled activations that were kept for good, and of the others.
    activated_epoch: end of the epoch at which it last germinated; None before.
    accuracy, loss, memory: windows of the present activation only, because an earlier one may have
        had another blueprint; oldest first, rounded to three digits.
    contexts: the number of each of the last two activations, and its context; a seed may germinate
        again before its former activation is settled.
    """

    activations: int = 0
    grafts: int = 0
    failures: int = 0
    activated_epoch: int | None = None
    contexts: list[tuple[int, tuple[float, ...]]] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "SeedRecord":
        """Return the record with these fields, which may have been through JSON."""
        contexts = [(number, tuple(context)) for number, context in values["contexts"]]
        return cls(**{**values, "contexts": contexts})

    def activate(self, epoch: int) -> None:
        """Count an activation at the end of `epoch`, and empty the windows."""
        self.activations += 1
        self.activated_epoch = epoch
        for window in (self.accuracy, self.loss, self.memory):
            window.clear()

    def settle(self, *, is_graft: bool) -> None:
        """Count a settled activation."""
        self.grafts += is_graft
        self.failures += not is_graft

    def note_context(self, activation: int, context: tuple[float, ...]) -> None:
        """Keep the context of an activation, rounded to four digits."""
        self.contexts.append((activation, tuple([round(value, 4) for value in context])))
        del self.contexts[:-2]

    def context(self, activation: int) -> tuple[float, ...]:
        """Return the context of an activation; () when unknown."""
        return dict(self.contexts).get(activation, ())

    def measure(self, measured: Measurement) -> None:
        """Append a measurement to the windows."""
        _append(self.accuracy, measured.accuracy_improvement)
        _append(self.loss, measured.loss_reduction)
        _append(self.memory, measured.memory_mb)

    def history(self) -> SeedHistory:
        """Return the counts."""
        return SeedHistory(
            activations=self.activations,
            grafts=self.grafts,
            failures=self.failures,
            activated_epoch=self.activated_epoch,
        )

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
class ArmRecord:
    """Results of one blueprint in one slot; at most about 1 KB as JSON.

    index: number of the arm in its ledger.
    rewards: the raw rewards, by their weight.  gains: the known loss reductions.
    recent: the last raw rewards, oldest first, rounded to three digits; each counts in full.
    """

    index: int
    rewards: Tally = field(default_factory=Tally)
    gains: Tally = field(default_factory=Tally)
    recent: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "ArmRecord":
        """Return the record with these fields, given as plain values."""
        return cls(values["index"], *_tallies(values), values["recent"])

    def settle(self, entry: LedgerEntry) -> float | None:
        """Count a settled activation; return what `Tally.add` does for the reward."""
        within = None
        if entry.reward is not None:
            within = self.rewards.add(entry.reward, entry.weight)
            self.recent.append(_rounded(entry.reward))
            del self.recent[:-MAX_WINDOW]
        if entry.loss_reduction is not None:
            self.gains.add(entry.loss_reduction)
        return within

    def revise(self, former: LedgerEntry, entry: LedgerEntry, num_later: int) -> float:
        """Replace a counted reward; return by how much the sum of squares around the mean rises.

        `num_later` is the number of rewards counted after it.
        """
        taken, added = _replace(self.rewards, former, entry)
        if num_later < len(self.recent) and entry.reward is not None:
            self.recent[-1 - num_later] = _rounded(entry.reward)
        return (taken or 0.0) + (added or 0.0)


@dataclass(slots=True)
class Pool:
    """Results of one blueprint in every slot of one kind and placement; constant memory.

    rewards, gains: as in `ArmRecord`.
    regression: of the rewards whose context is known.
    """

    rewards: Tally = field(default_factory=Tally)
    gains: Tally = field(default_factory=Tally)
    regression: Regression = field(default_factory=Regression)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Pool":
        """Return the pool with these fields, given as plain values."""
        return cls(*_tallies(values), Regression(**values["regression"]))

    def settle(self, entry: LedgerEntry) -> None:
        """Count a settled activation."""
        if entry.reward is not None:
            self.rewards.add(entry.reward, entry.weight)
            if entry.context:
                self.regression.add(entry.context, entry.reward, entry.weight)
        if entry.loss_reduction is not None:
            self.gains.add(entry.loss_reduction)

    def revise(self, former: LedgerEntry, entry: LedgerEntry) -> None:
        """Replace a counted reward."""
        _replace(self.rewards, former, entry)
        if former.context and former.reward is not None and entry.reward is not None:
            self.regression.add(former.context, former.reward, -former.weight)
            self.regression.add(entry.context, entry.reward, entry.weight)


def _replace(
    rewards: Tally, former: LedgerEntry, entry: LedgerEntry
) -> tuple[float | None, float | None]:
    """Take a former reward back and count a new one; return what `Tally.add` does for each."""
    assert former.reward is not None, "only rewards are revised"
    assert entry.reward is not None
    taken = rewards.add(former.reward, -former.weight)
    return taken, rewards.add(entry.reward, entry.weight)


def _rounded(reward: float) -> float:
    return float(f"{reward:.3g}")


def _tallies(values: Mapping[str, Any]) -> tuple[Tally, Tally]:
    return Tally(**values["rewards"]), Tally(**values["gains"])


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


def pool_of(entry: LedgerEntry) -> tuple[str, str, str]:
    """Return the key of the pool that counts an entry."""
    return entry.slot_kind, entry.placement, entry.blueprint


def arm_of(entry: LedgerEntry) -> tuple[str, str, str, str]:
    """Return the key of the arm that counts an entry."""
    return entry.slot, *pool_of(entry)
