"""A builder of outcomes."""

from collections.abc import Callable
from typing import Any

import pytest

from esper.contracts.outcome import GainPoint, Outcome


def make_outcome(*, points: tuple[tuple[str, float], ...] = (), **fields: Any) -> Outcome:
    """A fossilized seed that lived 6 epochs, gained a tenth and added nothing.

    points: window and gain of every look.
    """
    defaults: dict[str, Any] = {
        "slot": "block",
        "seed": 1,
        "slot_kind": "dense",
        "placement": "series",
        "blueprint": "mlp",
        "activation": 1,
        "germinated_epoch": 4,
        "settled_epoch": 10,
        "fossilized": True,
        "gain": 0.1,
        "gain_error": 0.01,
        "ablation": 0.1,
        "flops_before": 100.0,
        "flops_after": 100.0,
        "parameters_before": 100,
        "parameters_after": 100,
        "gains": tuple(
            GainPoint(epochs_since=4 + i, gain=gain, window=window)
            for i, (window, gain) in enumerate(points)
        ),
    }
    return Outcome(**(defaults | fields))


@pytest.fixture
def settle() -> Callable[..., Outcome]:
    return make_outcome
