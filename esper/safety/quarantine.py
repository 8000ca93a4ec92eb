"""Blueprints that failed too often: nothing germinates with them for the rest of the run."""

from collections import Counter
from typing import Any

from esper.contracts.event import Recovery
from esper.contracts.stage import SeedStage
from esper.growth.host import Host

STRATEGY = "quarantine"


class Quarantine:
    """Counts the failures of blueprints.

    limit: failures that put a blueprint in quarantine.
    names: the blueprints that are in it.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.names: frozenset[str] = frozenset()
        self._failures: Counter[str] = Counter()

    def blame(self, blueprint: str, failure: Recovery) -> list[Recovery]:
        """Count a failure of a blueprint; return its quarantine if this is the one too many."""
        self._failures[blueprint] += 1
        count = self._failures[blueprint]
        if blueprint in self.names or count < self.limit:
            return []
        self.names |= {blueprint}
        quarantine = Recovery(
            where="kernel",
            error=failure.error,
            strategy=STRATEGY,
            recovered=False,
            message=f"blueprint '{blueprint}' failed {count} times and is barred from the run",
            slot=failure.slot,
            seed=failure.seed,
            blueprint=blueprint,
        )
        return [quarantine]

    def bind_anew(self, host: Host) -> None:
        """Bind dormant seeds that wait for a quarantined blueprint to another, if there is one.

        A binding changes by itself only when its seed is used, and theirs cannot be.
        """
        for slot in host.slots.values():
            offered = [name for name in slot.spec.catalogue if name not in self.names]
            for seed in slot.seeds:
                if offered and seed.stage is SeedStage.DORMANT and seed.bound in self.names:
                    bound = {other.bound for other in slot.seeds}
                    seed.bound = next((name for name in offered if name not in bound), offered[0])

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, as plain values."""
        return {"names": sorted(self.names), "failures": dict(self._failures)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.names, self._failures = frozenset(state["names"]), Counter(state["failures"])
