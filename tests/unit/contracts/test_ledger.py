"""Values that an entry refuses."""

import math
from typing import Any

import pytest

from esper.contracts.ledger import LedgerEntry


def make_entry(**values: Any) -> LedgerEntry:
    defaults: dict[str, Any] = {
        "run": "run",
        "event": "0",
        "slot": "block",
        "seed": 0,
        "slot_kind": "dense",
        "placement": "parallel",
        "blueprint": "a",
        "task_family": "image",
        "reward_model": "gain",
        "epoch": 7,
        "reward": 0.5,
    }
    return LedgerEntry(**{**defaults, **values})


def test_rewards_and_measurements_must_be_finite() -> None:
    for wrong in (math.nan, math.inf, 1e101):
        with pytest.raises(ValueError, match="reward must be finite"):
            make_entry(reward=wrong)
    for key in ("accuracy_improvement", "loss_reduction", "latency_ms", "memory_mb"):
        with pytest.raises(ValueError, match="a measurement must be finite or None, got nan"):
            make_entry(**{key: math.nan})


def test_unmeasured_is_none() -> None:
    entry = make_entry(reward=None)
    assert (entry.reward, entry.accuracy_improvement, entry.memory_mb) == (None, None, None)
