"""Count growth events, requests to grow that led to no germination, and settled trials.

`dataclasses.asdict` returns the state of a counter; its constructor loads it.
"""

import math
from dataclasses import dataclass, field

from esper.contracts.observation import Observation
from esper.contracts.outcome import Outcome
from esper.contracts.slot import SlotState
from esper.policy.rules.growth import germinations


@dataclass
class GerminationCounter:
    """Counts growth events: epochs in which seeds germinated, not requests, and wider hosts.

    events: growth events so far, without those of the whole host.
    seen: germinations up to the last `update`.
    """

    events: int = 0
    seen: int = 0

    def update(self, observation: Observation) -> int:
        """Return the number of events so far; a rollback of seeds does not reduce it."""
        total = sum(germinations(slot) for slot in observation.slots)
        self.events += total > self.seen
        self.seen = total
        return self.events + observation.doublings


@dataclass
class UnmetRequests:
    """Counts, for each slot, the requests after which no seed germinated there.

    A policy that prefers the least tried slot must count them too.  Otherwise it requests a slot
    that cannot grow again and again, and no other slot grows.

    counts: unmet requests by slot.
    asked: slot of the open request, None if there is none.
    before: germinations of that slot at the time of the request.
    """

    counts: dict[str, int] = field(default_factory=dict)
    asked: str | None = None
    before: int = 0

    def __getitem__(self, slot: str) -> int:
        return self.counts.get(slot, 0)

    def ask(self, slot: SlotState) -> None:
        """Record a request to grow a slot; the next `update` settles it."""
        self.asked, self.before = slot.spec.name, germinations(slot)

    def update(self, observation: Observation) -> None:
        """Count the open request as unmet unless a seed of its slot germinated since."""
        for slot in observation.slots:
            if slot.spec.name == self.asked and germinations(slot) <= self.before:
                self.counts[self.asked] = self[self.asked] + 1
        self.asked = None


@dataclass
class SettledTrials:
    """Counts the settled trials of each slot, and those in a row that brought nothing.

    settled, failed: trials by slot, and those of them that were culled.
    measured, gains: trials with a measured gain by slot, and the sum of their gains.
    fruitless: last events in a row, in any slot, none of whose trials succeeded (see
        `Outcome.succeeded`); kernels of one event say the same of its time.
    judged: epoch of the last event of which a trial has settled, by slot.
    """

    settled: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    measured: dict[str, int] = field(default_factory=dict)
    gains: dict[str, float] = field(default_factory=dict)
    fruitless: int = 0
    judged: dict[str, int] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Count a settled trial."""
        slot, gain = outcome.slot, outcome.gain
        self.settled[slot] = self.settled.get(slot, 0) + 1
        self.failed[slot] = self.failed.get(slot, 0) + (not outcome.fossilized)
        # Trials of one event may settle in any order, with those of other slots in between.
        is_first = outcome.germinated_epoch > self.judged.get(slot, 0)
        if is_first:
            self.judged[slot] = outcome.germinated_epoch
        self.fruitless = 0 if outcome.succeeded else self.fruitless + is_first
        if gain is not None and math.isfinite(gain):
            self.measured[slot] = self.measured.get(slot, 0) + 1
            self.gains[slot] = self.gains.get(slot, 0.0) + gain

    def mean_gain(self, slot: str) -> float | None:
        """Return the mean measured gain of the slot's trials, None without any."""
        count = self.measured.get(slot, 0)
        return self.gains[slot] / count if count else None


def last_change(observation: Observation) -> int:
    """Return the epoch of the last germination or cull in any slot, 0 if there was none."""
    used = [seed.last_used_epoch for slot in observation.slots for seed in slot.seeds]
    culled = [slot.last_cull_epoch for slot in observation.slots]
    return max((epoch for epoch in (*used, *culled) if epoch is not None), default=0)
