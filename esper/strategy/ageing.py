"""Let the rewards of earlier runs fade, as far as that would have predicted rewards better.

Of a reward that is k runs old, this much is expected to be left,

    mean of all + decay^k * (reward - mean of all)

as in a first-order autoregressive process, with its weight as it was.  The decay is that of
`DECAYS` with which every run would have been predicted best from the runs before it, each reward as

    (n * own mean + w * others' mean + mean of all) / (n + w + 1)

where a trial counts decay^k in n and w (see `pooling`).  It must be better than chance allows: the
errors over N rewards, squared, must fall below N^(-1/N) of those without decay, which is the charge
of the Bayesian information criterion for one parameter (Schwarz 1978).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from esper.contracts.ledger import LedgerEntry
from esper.strategy.pooling import NOTHING, Tally, pool_weight

DECAYS = (0.95, 0.9, 0.8, 0.65)
"""Shares of a reward that may be left a run later, besides all of it."""


def aged(entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Return the entries of earlier runs with their rewards of today, the oldest run first."""
    rewarded = [entry for entry in entries if entry.reward is not None]
    decay = best_decay(rewarded)
    if decay == 1:
        return list(entries)
    middle = Tally()
    for entry in rewarded:
        middle.add(entry.reward or 0.0, entry.weight)
    mean = middle.total / middle.count
    runs = list(dict.fromkeys(entry.run for entry in entries))
    left = {run: decay ** (len(runs) - number) for number, run in enumerate(runs)}
    return [
        entry
        if entry.reward is None
        else replace(entry, reward=mean + left[entry.run] * (entry.reward - mean))
        for entry in entries
    ]


def best_decay(entries: Sequence[LedgerEntry]) -> float:
    """Return the decay that would have predicted best; every entry has a reward."""
    runs: dict[str, list[LedgerEntry]] = {}
    for entry in entries:
        runs.setdefault(entry.run, []).append(entry)
    errors = {decay: _squared_errors(list(runs.values()), decay) for decay in DECAYS}
    best, count = min(DECAYS, key=errors.__getitem__), max(1, len(entries))
    bar = _squared_errors(list(runs.values()), 1.0) / count ** (1 / count)
    return best if errors[best] < bar else 1.0


def _squared_errors(runs: Sequence[Sequence[LedgerEntry]], decay: float) -> float:
    """Return the weighted sum of squared errors of all predictions."""
    past, errors = _Past(decay), 0.0
    for run in runs:
        if past.middle.count:
            for entry in run:
                error = (entry.reward or 0.0) - past.predict(entry)
                errors += entry.weight * error * error
        past.end_run(run)
    return errors


@dataclass
class _Past:
    """Discounted results of the runs so far, by arm, by pool and of all."""

    decay: float
    arms: dict[tuple[str, ...], Tally] = field(default_factory=dict)
    pools: dict[tuple[str, ...], Tally] = field(default_factory=dict)
    middle: Tally = field(default_factory=Tally)

    def predict(self, entry: LedgerEntry) -> float:
        """Return the reward expected of an entry's arm."""
        own, pool = self._of(entry)
        others = pool.count - own.count
        shared = pool_weight(others) if others > NOTHING else 0.0
        total = own.total + self.middle.total / self.middle.count
        if shared:
            total += shared / others * (pool.total - own.total)
        return total / (own.count + shared + 1)

    def end_run(self, run: Sequence[LedgerEntry]) -> None:
        """Count the rewards of a run, and let all grow a run older."""
        for entry in run:
            for tally in (*self._of(entry), self.middle):
                tally.add(entry.reward or 0.0, entry.weight)
        for tally in (*self.arms.values(), *self.pools.values(), self.middle):
            tally.count *= self.decay
            tally.total *= self.decay

    def _of(self, entry: LedgerEntry) -> tuple[Tally, Tally]:
        pool = (entry.slot_kind, entry.placement, entry.blueprint)
        own = self.arms.setdefault((entry.slot, *pool), Tally())
        return own, self.pools.setdefault(pool, Tally())
