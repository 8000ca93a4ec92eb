"""Count growth events, and requests to grow that led to no germination.

The counters are plain values: `dataclasses.asdict` gives their state, their fields take it back.
"""

from dataclasses import dataclass, field

from esper.contracts.observation import Observation
from esper.contracts.slot import SlotState
from esper.policy.rules.growth import germinations


@dataclass
class GerminationCounter:
    """Counts epochs in which seeds germinated.

    A request that safety refused, or for which no seed was viable, is no event and may be repeated.

    events: growth events so far.
    seen: germinations up to the last `update`.
    """

    events: int = 0
    seen: int = 0

    def update(self, observation: Observation) -> int:
        """Return the number of events so far; a rollback that takes seeds back takes no event."""
        total = sum(germinations(slot) for slot in observation.slots)
        self.events += total > self.seen
        self.seen = total
        return self.events


@dataclass
class UnmetRequests:
    """Counts, for each slot, the requests after which nothing germinated there.

    A policy that prefers the slot that was tried least must count them too, or one slot that
    cannot be served keeps all others from growing.

    counts: unmet requests, by slot.
    asked: the slot of the last request, None where the last `update` settled it.
    before: germinations of that slot when it was asked for.
    """

    counts: dict[str, int] = field(default_factory=dict)
    asked: str | None = None
    before: int = 0

    def __getitem__(self, slot: str) -> int:
        return self.counts.get(slot, 0)

    def ask(self, slot: SlotState) -> None:
        """Note a request to grow a slot; the next `update` settles it."""
        self.asked, self.before = slot.spec.name, germinations(slot)

    def update(self, observation: Observation) -> None:
        """Count the open request as unmet unless its slot has grown since."""
        for slot in observation.slots:
            if slot.spec.name == self.asked and germinations(slot) <= self.before:
                self.counts[self.asked] = self[self.asked] + 1
        self.asked = None


def last_change(observation: Observation) -> int:
    """Return the epoch of the last germination or cull anywhere, 0 when there was none."""
    used = [seed.last_used_epoch for slot in observation.slots for seed in slot.seeds]
    culled = [slot.last_cull_epoch for slot in observation.slots]
    return max((epoch for epoch in (*used, *culled) if epoch is not None), default=0)
