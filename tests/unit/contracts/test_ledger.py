"""Values that an entry refuses, and rewards in numbers."""

import math
from dataclasses import asdict
from typing import Any

import pytest

from esper.contracts.ledger import LedgerEntry, RewardSummary


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


def test_features_must_be_finite_and_what_is_shown_above_0() -> None:
    assert make_entry(features=(0.5, None), shown=0.25).features == (0.5, None)
    with pytest.raises(ValueError, match="a feature must be finite or None, got nan"):
        make_entry(features=(0.5, math.nan))
    for wrong in (0.0, math.inf):
        with pytest.raises(ValueError, match="shown must be > 0, got"):
            make_entry(shown=wrong)


def test_lists_of_values_become_tuples() -> None:
    entry = make_entry(context=(1.0, 0.5, 0.5, 0.5), features=(0.5, None))
    values = {name: list(v) if type(v) is tuple else v for name, v in asdict(entry).items()}
    assert LedgerEntry.of(values) == entry


def test_unmeasured_is_none() -> None:
    entry = make_entry(reward=None)
    assert (entry.reward, entry.accuracy_improvement, entry.memory_mb) == (None, None, None)


def test_the_standard_error_is_the_deviation_over_the_root_of_the_trials() -> None:
    # Deviations from 0.1: -0.3 0 0.3; sqrt(0.18 / 2) / sqrt(3).
    summary = RewardSummary.of((-0.2, 0.1, 0.4))
    assert (summary.trials, summary.mean) == (3, pytest.approx(0.1))
    assert summary.standard_error == pytest.approx(0.3 / math.sqrt(3))


def test_one_reward_has_no_error_and_none_has_no_mean() -> None:
    assert RewardSummary.of([0.4]) == RewardSummary(trials=1, mean=0.4, standard_error=None)
    assert RewardSummary.of(()) == RewardSummary(trials=0, mean=None, standard_error=None)
