"""Keep what each live seed was measured to bring, over its last epochs."""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from esper.contracts.observation import SeedWindow
from esper.contracts.slot import SeedState, SlotState


def finite_or_none(value: float | None) -> float | None:
    """Return the value, or None when it is unknown or not finite."""
    return value if value is not None and math.isfinite(value) else None


@dataclass(slots=True)
class _Window:
    activation: int
    improvements: deque[float | None] = field(default_factory=deque)
    gains: deque[float | None] = field(default_factory=deque)


class SeedWindows:
    """A bounded window for each live seed; a seed that germinates again starts an empty one."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._windows: dict[tuple[str, int], _Window] = {}

    def update(self, slots: tuple[SlotState, ...]) -> tuple[SeedWindow, ...]:
        """Take in an epoch and return the windows of all live seeds, by slot and seed order."""
        live = [seed for slot in slots for seed in slot.live]
        self._windows = {(seed.slot, seed.seed): self._extended(seed) for seed in live}
        return tuple(
            SeedWindow(
                slot=slot,
                seed=seed,
                improvements=tuple(window.improvements),
                gains=tuple(window.gains),
            )
            for (slot, seed), window in self._windows.items()
        )

    def _extended(self, seed: SeedState) -> _Window:
        window = self._windows.get((seed.slot, seed.seed))
        if window is None or window.activation != seed.activations:
            window = self._empty(seed.activations)
        window.improvements.append(finite_or_none(seed.improvement))
        window.gains.append(finite_or_none(seed.gain))
        return window

    def _empty(self, activation: int) -> _Window:
        return _Window(activation, deque(maxlen=self._length), deque(maxlen=self._length))

    def state_dict(self) -> list[dict[str, Any]]:
        """Return everything that changes, ready for JSON."""
        return [
            {
                "slot": slot,
                "seed": seed,
                "activation": window.activation,
                "improvements": list(window.improvements),
                "gains": list(window.gains),
            }
            for (slot, seed), window in self._windows.items()
        ]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Take back what `state_dict` returned."""
        self._windows = {}
        for saved in state:
            window = self._empty(saved["activation"])
            window.improvements.extend(saved["improvements"])
            window.gains.extend(saved["gains"])
            self._windows[saved["slot"], saved["seed"]] = window
