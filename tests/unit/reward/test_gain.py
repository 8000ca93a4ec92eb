"""Gain less what verdicts ask of it."""

import math
from typing import Any

import pytest

from esper.reward.gain import Gain


def test_what_verdicts_ask_is_taken_off(settle: Any) -> None:
    reward = Gain(scale=2.0).judge(settle(gain=0.1, asked_gain=0.03))
    assert reward.total == pytest.approx(math.tanh(2 * 0.07))
    assert reward.components == {"accuracy": 0.1, "cost": 0.03}
    assert "of which the first 3.00% earn nothing" in reward.explanation


def test_the_gain_in_accuracy_counts_when_asked_for(settle: Any) -> None:
    outcome = settle(gain=0.1, accuracy_gain=0.02)
    assert Gain(credit="accuracy").judge(outcome).total == pytest.approx(math.tanh(0.1))
    unknown = Gain(credit="accuracy").judge(settle(gain=0.1))
    assert (unknown.total, unknown.confidence) == (0, 0)
    assert "gain in accuracy not measured" in unknown.explanation


def test_the_last_look_after_keeping_counts(settle: Any) -> None:
    looks = (("immediate", 0.1), ("short", 0.1), ("medium", 0.06), ("medium", 0.02))
    assert Gain().judge(settle(points=looks)).total == pytest.approx(math.tanh(0.1))
    assert Gain().judge(settle(points=looks[:2])).total == pytest.approx(math.tanh(0.5))


def test_an_unmeasured_gain_counts_as_0(settle: Any) -> None:
    reward = Gain().judge(settle(gain=None, asked_gain=0.1))
    assert reward.total == pytest.approx(math.tanh(-0.5))
    assert reward.confidence == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scale", 0.0),
        ("scale", math.inf),
        ("credit", "luck"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_key(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"reward\.{key} must be .*, got {value}"):
        Gain(**{key: value})
