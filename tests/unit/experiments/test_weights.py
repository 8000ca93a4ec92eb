"""What foresees rewards, by hand."""

import pytest

from experiments.weights import MEAN_WEIGHT, errors, table

TWICE = [
    {"slot": "a", "pool": "image/conv", "reward": 1.0, "rank": None},
    {"slot": "b", "pool": "image/conv", "reward": 0.0, "rank": 1.0},
    {"slot": "b", "pool": "image/conv", "reward": 0.0, "rank": None},
]
"""Rewards 1, 0, 0: variance 2/9."""


def test_trials_elsewhere_and_first_order_scores_are_weighed_with_the_mean() -> None:
    # The second: the mean 1 and the pool 1, which is worth 1/2; no deviation is known beside it.
    second, third = errors([TWICE], 0.0, 1.0, warm=False)
    assert second == pytest.approx(1.0 / (2 / 9))
    # The third: the mean 1/2, the pool 1 worth 1/2, and its own 0.
    foreseen = (MEAN_WEIGHT * 0.5 + 0.5 * 1.0) / (MEAN_WEIGHT + 0.5 + 1.0)
    assert third == pytest.approx(foreseen**2 / (2 / 9))
    # With a score one deviation above the mean, which counts as one trial.
    deviation = (2 / 9) ** 0.5
    ranked, _ = errors([TWICE], 1.0, 1.0, warm=False)
    above = 1.0 + deviation / (MEAN_WEIGHT + 0.5 + 1.0)
    assert ranked == pytest.approx(above**2 / (2 / 9))


def test_runs_of_other_task_families_tell_nothing() -> None:
    other = [{"slot": "a", "pool": "tokens/conv", "reward": 1.0, "rank": None}]
    assert errors([other, other[:]], 0.0, 1.0, warm=False) == []
    assert errors([[*other], [dict(TWICE[0])]], 0.0, 1.0, warm=True) == []


def test_the_table_has_every_pair() -> None:
    found = table([TWICE, TWICE])
    assert set(found) == {"cold", "warm"}
    assert found["warm"]["0 / 1"] < found["cold"]["0 / 1"]
