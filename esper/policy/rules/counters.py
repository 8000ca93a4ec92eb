"""Count the growth events of a run, by what happened, and the wishes from which nothing came."""

from typing import Any

from esper.contracts.observation import Observation
from esper.contracts.slot import SlotState
from esper.policy.rules.growth import germinations


class GerminationCounter:
    """Counts epochs in which seeds germinated.

    A wish that safety refused, or for which no seed was viable, is no event and may be repeated.
    """

    def __init__(self) -> None:
        self.events = 0
        self._seen = 0

    def update(self, observation: Observation) -> int:
        """Return the number of events so far; a rollback that takes seeds back takes no event."""
        total = sum(germinations(slot) for slot in observation.slots)
        self.events += total > self._seen
        self._seen = total
        return self.events

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, ready for JSON."""
        return {"events": self.events, "seen": self._seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        self.events = state["events"]
        self._seen = state["seen"]


class UnmetRequests:
    """Counts, for each slot, the wishes after which nothing germinated there.

    A policy that prefers the slot that was tried least must count them too, or one slot that
    cannot be served keeps all others from growing.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._asked: str | None = None
        self._before = 0

    def __getitem__(self, slot: str) -> int:
        return self._counts.get(slot, 0)

    def ask(self, slot: SlotState) -> None:
        """Note a wish to grow a slot; see what came of it at the next `update`."""
        self._asked, self._before = slot.spec.name, germinations(slot)

    def update(self, observation: Observation) -> None:
        """See whether the slot that was asked for has grown since."""
        for slot in observation.slots:
            if slot.spec.name == self._asked and germinations(slot) <= self._before:
                self._counts[self._asked] = self[self._asked] + 1
        self._asked = None

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, ready for JSON."""
        return {"counts": dict(self._counts), "asked": self._asked, "before": self._before}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        self._counts = dict(state["counts"])
        self._asked = state["asked"]
        self._before = state["before"]


def last_change(observation: Observation) -> int:
    """Return the epoch of the last germination or cull anywhere, 0 when there was none."""
    used = [seed.last_used_epoch for slot in observation.slots for seed in slot.seeds]
    culled = [slot.last_cull_epoch for slot in observation.slots]
    return max((epoch for epoch in (*used, *culled) if epoch is not None), default=0)
