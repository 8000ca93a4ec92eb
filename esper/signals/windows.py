"""Keep the gains of each live seed over its last epochs."""

import math

from esper.contracts.observation import SeedWindow
from esper.contracts.slot import SlotState


def finite_or_none(value: float | None) -> float | None:
    """Return the value, or None when it is unknown or not finite."""
    return value if value is not None and math.isfinite(value) else None


def extended(
    windows: tuple[SeedWindow, ...], slots: tuple[SlotState, ...], length: int
) -> tuple[SeedWindow, ...]:
    """Return the windows of all live seeds after one more epoch, by slot and seed order.

    A seed that germinates again starts an empty window.

    Args:
        windows: the result an epoch ago.
        slots: every slot at the end of the epoch.
        length: number of gains that a window keeps.
    """
    before = {(window.slot, window.seed, window.activation): window.gains for window in windows}
    return tuple(
        SeedWindow(
            slot=seed.slot,
            seed=seed.seed,
            activation=seed.activations,
            gains=(
                *before.get((seed.slot, seed.seed, seed.activations), ()),
                finite_or_none(seed.gain),
            )[-length:],
        )
        for slot in slots
        for seed in slot.live
    )
