"""What an entry refuses."""

import math
from collections.abc import Callable
from typing import Any

import pytest

Make = Callable[..., Any]


def test_rewards_and_measurements_must_be_finite(make_entry: Make) -> None:
    for wrong in (math.nan, math.inf, 1e101):
        with pytest.raises(ValueError, match="reward must be finite"):
            make_entry(reward=wrong)
    for key in ("accuracy_improvement", "loss_reduction", "latency_ms", "memory_mb"):
        with pytest.raises(ValueError, match="a measurement must be finite or None, got nan"):
            make_entry(**{key: math.nan})


def test_unmeasured_is_none(make_entry: Make) -> None:
    entry = make_entry(reward=None)
    assert (entry.reward, entry.accuracy_improvement, entry.memory_mb) == (None, None, None)
