"""Rows of measured branches and of settled trials."""

import math
from dataclasses import replace

import numpy as np
import pytest

from esper.contracts.ledger import LedgerEntry
from esper.run.policy_training import rows
from esper.run.policy_training.rows import (
    branch_data,
    chosen,
    joined,
    lasting_gain,
    measure,
    settled_data,
)
from esper.signals.gain_features import FEATURES
from tests.gain_models import tiny_task
from tests.unit.store.entries import entry_of

ROW = tuple(float(place) for place in range(len(FEATURES)))


def settled(
    run: str, reduction: float | None = 0.1, features: tuple[float | None, ...] = ROW
) -> LedgerEntry:
    return replace(entry_of(run, 3), loss_reduction=reduction, features=features, shown=0.25)


def test_a_task_is_measured_alike_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "training_task", tiny_task)
    record = measure(1002, 0)
    assert record == measure(1002, 0) != measure(1002, 1)
    assert record["task"] == 1002
    slots = [branch["slot"] for branch in record["branches"]]
    assert slots == [name for name in ("blocks.0", "blocks.1", "blocks.2") for _ in range(2)]
    data = branch_data([record, record])
    assert data.features.shape == (12, len(FEATURES))
    assert data.tasks.tolist() == [1002] * 12
    # The health of each block is measured.
    column = data.features[:, FEATURES.index("gradient_norm")]
    assert np.isfinite(column).all()
    assert len(set(column)) == 3
    assert data.features[0, FEATURES.index("epoch_share")] == record["epoch"] / 12


def test_the_gain_of_a_trial_is_that_of_a_lasting_kernel() -> None:
    # A tenth less loss shows a quarter of it: 40 % less, ln(1 / 0.6).
    assert lasting_gain(settled("a")) == pytest.approx(-math.log(0.6))
    assert lasting_gain(settled("a", -0.25)) == pytest.approx(-math.log(2.0))
    assert lasting_gain(settled("a", 0.5)) == pytest.approx(-math.log(0.1))  # at most 0.9


def test_only_measured_trials_with_our_features_count() -> None:
    entries = [
        settled("late"),
        settled("early"),
        settled("late", 0.2),
        settled("late", None),
        settled("other", features=(1.0, 2.0)),
        entry_of("heuristic", 3),
        settled("gaps", features=(None, *ROW[1:])),
    ]
    data, num_foreign = settled_data(entries)
    assert num_foreign == 1
    assert data.tasks.tolist() == [-1, -2, -1, -3]
    assert np.isnan(data.features[3, 0])
    assert (data.features[0] == ROW).all()


def test_rows_can_be_joined_and_chosen() -> None:
    first, _ = settled_data([settled("a"), settled("b")])
    empty, _ = settled_data([])
    assert joined(empty, first).gains.tolist() == first.gains.tolist()
    both = joined(first, first)
    assert chosen(both, both.tasks == -2).tasks.tolist() == [-2, -2]
