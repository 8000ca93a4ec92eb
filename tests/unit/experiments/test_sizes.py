"""Regrets of fixed sizes and of what can be done with them, by curves written by hand."""

from typing import Any

import numpy as np
import pytest

from experiments.sizes.__main__ import overall
from experiments.sizes.fixed import curve
from experiments.sizes.places import Place
from experiments.sizes.regret import Fixed, regret_at_equal_time, regrets

UNIT = 10.0


def made(losses: list[float], hits: list[float]) -> dict[str, Any]:
    """Return the curve of two seeds, the second of which is right 0.1 less often."""
    return {
        "unit": UNIT,
        "flops": [1.0, 2.0, 5.0, 10.0],
        "losses": [[loss, loss] for loss in losses],
        "hits": [[hit, round(hit - 0.1, 6)] for hit in hits],
    }


FIXED = Fixed(
    {
        0.5: made([0.9, 0.8, 0.8, 0.8], [0.5, 0.6, 0.6, 0.6]),
        1.0: made([1.0, 0.7, 0.6, 0.6], [0.4, 0.7, 0.75, 0.75]),
        2.0: made([1.1, 0.9, 0.5, 0.4], [0.3, 0.5, 0.8, 0.9]),
    }
)


def test_a_curve_is_read_at_the_last_point_that_was_paid() -> None:
    assert FIXED.hits(1.0, 0.1).tolist() == [0.4, 0.3]
    assert FIXED.hits(1.0, 0.49).tolist() == [0.7, 0.6]
    assert FIXED.hits(1.0, 0.05).tolist() == [0.0, 0.0]
    assert FIXED.losses(1.0, 0.05).tolist() == [np.inf, np.inf]


def test_the_oracle_is_another_size_at_another_budget() -> None:
    assert [FIXED.oracle(budget) for budget in (0.1, 0.2, 0.5, 1.0)] == [0.5, 1.0, 2.0, 2.0]


def test_a_sweep_has_an_equal_share_for_each_size_and_keeps_the_best_by_validation() -> None:
    # A third of 1.0 pays 3.3: the points at 2.
    assert FIXED.sweep(1.0).tolist() == [0.7, 0.6]
    # A third of 1.5 pays 5.
    assert FIXED.sweep(1.5).tolist() == pytest.approx([0.8, 0.7])


def test_halving_goes_on_with_the_best_of_each_round() -> None:
    # Rounds of 5, 3 and 1 sizes; with three sizes the first drops none.  Of a budget of 3 it has
    # spent 0.2 a size, then 0.53, and 1.53 at the end: at 0.53 the best is x2.
    assert FIXED.halving(3.0).tolist() == pytest.approx([0.9, 0.8])
    # Of 0.9: 0.06, where nothing is paid, then 0.16, where x0.5 is ahead, and 0.46 at the end.
    assert FIXED.halving(0.9).tolist() == [0.6, 0.5]


def test_regret_is_in_points_below_the_oracle_size() -> None:
    found = regrets(FIXED, {"grown": {1.0: np.array([0.95, 0.75])}}, 1.0)
    assert found["grown"] == pytest.approx([-5.0, 5.0])
    assert found["size x2"] == pytest.approx([0.0, 0.0])
    assert found["size x0.5"] == pytest.approx([30.0, 30.0])
    assert found["random size"] == pytest.approx([15.0, 15.0])


def test_the_summary_is_the_mean_over_tasks_and_budgets_and_the_worst() -> None:
    one = {"grown": [1.0, 3.0], "size x1": [5.0, 5.0]}
    two = {"grown": [0.0, 0.0], "size x1": [9.0, 9.0]}
    found = overall({"a": {"1": one}, "b": {"1": two}})
    assert found["grown"]["mean"].startswith("+1.0000 [")
    assert found["grown"]["worst"] == 2.0
    assert found["size x1"]["over grown"].startswith("+6.0000 [")


def test_a_real_curve_ends_with_its_budget_and_never_gets_worse() -> None:
    found = curve("dense", None, 4.0, 0.01, [100, 101], 0.05)
    assert Place("dense").model(4.0).hidden == (32, 32)
    assert found["flops"][-1] <= 0.05 * found["unit"] < found["flops"][-1] * 2
    losses = np.array(found["losses"])
    assert losses.shape[1] == 2
    assert np.all(np.diff(losses, axis=0) <= 0)


def test_at_equal_time_a_slow_size_is_trained_less() -> None:
    hits, seconds = np.array([0.7, 0.6]), np.array([5.0, 2.0])
    # x2 has two seconds a FLOP: 2.5 and 1 of them; x1 one, x0.5 four.
    found = regret_at_equal_time(FIXED, {0.5: 4.0, 1.0: 1.0, 2.0: 2.0}, hits, seconds)
    assert found == pytest.approx([5.0, 0.0])
