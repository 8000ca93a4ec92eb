"""Gains over time."""

from typing import Any

import pytest

from esper.contracts.outcome import LONG_AFTER, WINDOWS, kept_window
from esper.reward.temporal import age, weighted_gain

WEIGHTS = dict(zip(WINDOWS, (0.3, 0.4, 0.25, 0.05), strict=True))
LOOKS = (("immediate", 0.1), ("short", 0.2), ("short", 0.4))


def test_every_window_weighs_by_its_mean(settle: Any) -> None:
    outcome = settle(points=(*LOOKS, ("medium", 0.0), ("medium", 0.2), ("long", 0.8)), gain=0.3)
    expected = 0.3 * 0.1 + 0.4 * 0.3 + 0.25 * 0.1 + 0.05 * 0.8
    assert weighted_gain(outcome, WEIGHTS) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (LOOKS[:1], 0.1),
        (LOOKS, (0.3 * 0.1 + 0.4 * 0.3) / 0.7),
        ((*LOOKS, ("medium", 0.6)), (0.3 * 0.1 + 0.4 * 0.3 + 0.25 * 0.6) / 0.95),
    ],
)
def test_weights_not_yet_due_are_renormalised(settle: Any, points: Any, expected: float) -> None:
    assert weighted_gain(settle(points=points, gain=9.0), WEIGHTS) == pytest.approx(expected)


def test_without_a_look_the_settled_gain_counts_in_full(settle: Any) -> None:
    assert weighted_gain(settle(gain=0.2), WEIGHTS) == 0.2


def test_an_unmeasured_gain_is_unknown(settle: Any) -> None:
    assert weighted_gain(settle(gain=None), WEIGHTS) is None


def test_a_kept_kernel_is_looked_at_in_the_medium_and_in_the_long_window() -> None:
    assert [kept_window(epochs) for epochs in (2, 5, LONG_AFTER - 1, LONG_AFTER, 40)] == [
        "medium", "medium", "medium", "long", "long",
    ]  # fmt: skip


def test_a_seed_settled_at_once_is_one_epoch_old(settle: Any) -> None:
    assert age(settle(germinated_epoch=4, settled_epoch=4)) == 1
    assert age(settle(germinated_epoch=4, settled_epoch=11)) == 7
