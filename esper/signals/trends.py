"""Remember the last two probes of each block, for the trends of its health."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from esper.contracts.health import BlockHealth
from esper.contracts.observation import Observation


class HealthTrends:
    """Keeps the last two probes of each block."""

    def __init__(self) -> None:
        self._probes: dict[str, tuple[BlockHealth, ...]] = {}

    def update(self, observation: Observation) -> dict[str, BlockHealth]:
        """Add the probes of an observation; return, by slot, those before the last ones.

        A probe that was added before is not added again.  Slots probed less than twice are left
        out.
        """
        for slot in observation.slots:
            probes, health = self._probes.get(slot.spec.name, ()), slot.health
            if health is not None and (not probes or probes[-1].epoch != health.epoch):
                self._probes[slot.spec.name] = (*probes[-1:], health)
        return {name: probes[0] for name, probes in self._probes.items() if len(probes) > 1}

    def state_dict(self) -> dict[str, Any]:
        """Return the probes, ready for JSON."""
        return {name: [asdict(probe) for probe in each] for name, each in self._probes.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self._probes = {
            name: tuple(BlockHealth(**probe) for probe in probes) for name, probes in state.items()
        }
