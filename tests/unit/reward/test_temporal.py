"""Gains over time."""

from typing import Any

import pytest

from esper.reward.temporal import age, weighted_gain

UNTIL, WEIGHTS = (1, 5, 20), (0.3, 0.4, 0.25, 0.05)


@pytest.mark.parametrize(
    ("epochs_since", "window"), [(1, 0), (2, 1), (5, 1), (6, 2), (20, 2), (21, 3), (400, 3)]
)
def test_an_epoch_lies_in_one_window(settle: Any, epochs_since: int, window: int) -> None:
    outcome = settle(
        points={epochs_since: 1.0}, gain=0.0, germinated_epoch=0, settled_epoch=7 if window else 1
    )
    settled = 2 if window else 0
    apart = WEIGHTS[window] / (WEIGHTS[window] + WEIGHTS[settled])
    expected = 0.5 if window == settled else apart
    assert weighted_gain(outcome, UNTIL, WEIGHTS) == pytest.approx(expected)


def test_every_window_weighs_by_its_mean(settle: Any) -> None:
    outcome = settle(
        points={1: 0.1, 2: 0.2, 5: 0.4, 6: 0.0, 20: 0.2}, gain=0.8, germinated_epoch=0,
        settled_epoch=30,
    )  # fmt: skip
    expected = 0.3 * 0.1 + 0.4 * 0.3 + 0.25 * 0.1 + 0.05 * 0.8
    assert weighted_gain(outcome, UNTIL, WEIGHTS) == pytest.approx(expected)


def test_weights_not_yet_due_are_renormalised(settle: Any) -> None:
    outcome = settle(points={1: 0.1, 2: 0.2}, gain=0.4, germinated_epoch=4, settled_epoch=7)
    assert weighted_gain(outcome, UNTIL, WEIGHTS) == pytest.approx((0.3 * 0.1 + 0.4 * 0.3) / 0.7)


def test_the_settled_gain_alone_counts_in_full_whenever_it_settled(settle: Any) -> None:
    for settled_epoch in (4, 5, 8, 20, 90):
        outcome = settle(gain=0.2, germinated_epoch=4, settled_epoch=settled_epoch)
        assert weighted_gain(outcome, UNTIL, WEIGHTS) == pytest.approx(0.2)


def test_an_unmeasured_gain_is_unknown(settle: Any) -> None:
    assert weighted_gain(settle(gain=None), UNTIL, WEIGHTS) is None


def test_a_seed_settled_at_once_is_one_epoch_old(settle: Any) -> None:
    assert age(settle(germinated_epoch=4, settled_epoch=4)) == 1
    assert age(settle(germinated_epoch=4, settled_epoch=11)) == 7
