"""Cross-validation over tasks."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from esper.contracts.errors import DataError
from esper.learning.gain_fit import GainFit, fit_gain_model
from esper.policy.planner import Planner
from esper.run.policy_training.evaluate import evaluate
from esper.run.policy_training.rows import branch_data, settled_data
from esper.signals.gain_features import FEATURES

OPTIONS = GainFit(members=10, penalty=1e-3)
BOLD = Planner(threshold=0.0, caution=0.0)
NOTHING, _ = settled_data([])
COLUMN = FEATURES.index("linear_gain")


def record(task: int, gains: list[float], signals: list[float], price: float = 0.0) -> Any:
    """Return a task whose branches have one signal that varies; each doubles the FLOPs."""
    branches = []
    for gain, signal in zip(gains, signals, strict=True):
        features = [0.0] * len(FEATURES)
        features[COLUMN] = signal
        branches.append({"gain": gain, "added_flops": 1.0, "features": features})
    return {"task": task, "price": price, "branches": branches}


def linear(tasks: int, price: float = 0.0) -> list[Any]:
    """Return tasks in which the gain is a tenth of the signal."""
    rng = np.random.default_rng(0)
    signals = rng.uniform(-1, 1, (tasks, 3)).tolist()
    return [
        record(task, [0.1 * each for each in row], row, price) for task, row in enumerate(signals)
    ]


def test_a_signal_that_tells_the_gain_finds_the_best_germination() -> None:
    records = linear(20)
    judged = evaluate(records, NOTHING, OPTIONS, 0, BOLD)
    gains = np.array([[branch["gain"] for branch in each["branches"]] for each in records])
    assert judged.correlation == pytest.approx(1.0, abs=1e-3)
    assert judged.error < 0.005
    assert judged.top_1 == 1.0
    assert judged.random == pytest.approx(gains.mean())
    assert judged.best == pytest.approx(gains.max(1).clip(min=0).mean())
    assert judged.chosen == pytest.approx(judged.best, abs=0.003)


def test_a_high_price_makes_waiting_the_choice() -> None:
    judged = evaluate(linear(20, price=0.2), NOTHING, OPTIONS, 0, BOLD)
    assert judged.chosen == judged.best == 0.0
    assert judged.random == pytest.approx(
        evaluate(linear(20), NOTHING, OPTIONS, 0, BOLD).random - 0.2
    )


def test_the_threshold_decides_what_is_worth_an_event() -> None:
    judged = evaluate(linear(20), NOTHING, OPTIONS, 0, replace(BOLD, threshold=9.0))
    assert judged.chosen == 0.0


def test_caution_takes_the_disagreement_of_the_members_off() -> None:
    judged = evaluate(linear(20), NOTHING, OPTIONS, 0, replace(BOLD, caution=1e9))
    assert judged.chosen == 0.0


def test_a_signal_is_not_learned_from_the_task_that_is_predicted() -> None:
    """Each task has a gain of its own, which a signal that names the task could repeat."""
    rng = np.random.default_rng(1)
    gains = rng.choice([-0.3, 0.3], 40)
    records = [record(t, [float(g)] * 2, [float(rng.normal())] * 2) for t, g in enumerate(gains)]
    judged = evaluate(records, NOTHING, OPTIONS, 0, BOLD)
    assert judged.correlation is not None
    assert judged.correlation < 0.5


def test_tasks_without_germinations_are_left_out_and_a_constant_has_no_correlation() -> None:
    records = [record(task, [0.1, 0.1], [0.0, 0.0]) for task in range(5)]
    records.insert(2, {"task": 9, "price": 0.1, "branches": []})
    judged = evaluate(records, NOTHING, OPTIONS, 0, BOLD)
    assert judged.correlation is None
    assert (judged.chosen, judged.top_1) == (pytest.approx(0.1), 1.0)


def test_too_few_tasks_to_leave_one_out_are_refused() -> None:
    data = branch_data([record(0, [0.1, 0.2], [0.0, 1.0])])
    with pytest.raises(DataError, match="1 tasks are too few to fit 10 members on"):
        fit_gain_model(data, OPTIONS, 0)
