"""Gain less rent."""

import math
from typing import Any

import pytest

from esper.reward.gain import Gain


def test_rent_is_due_for_what_was_added(settle: Any) -> None:
    outcome = settle(gain=0.1, flops_after=150.0, parameters_after=400)
    by_flops = Gain(rent=0.05, scale=2.0).judge(outcome)
    by_parameters = Gain(rent=0.05, per="parameters", scale=2.0).judge(outcome)
    assert by_flops.total == pytest.approx(math.tanh(2 * (0.1 - 0.05 * math.log(1.5))))
    assert by_flops.components == pytest.approx({"accuracy": 0.1, "cost": math.log(1.5)})
    assert by_parameters.total == pytest.approx(math.tanh(2 * (0.1 - 0.05 * math.log(4))))


def test_the_gain_in_accuracy_counts_when_asked_for(settle: Any) -> None:
    outcome = settle(gain=0.1, accuracy_gain=0.02)
    assert Gain(credit="accuracy").judge(outcome).total == pytest.approx(math.tanh(0.1))
    unknown = Gain(credit="accuracy").judge(settle(gain=0.1))
    assert (unknown.total, unknown.confidence) == (0, 0)
    assert "gain in accuracy not measured" in unknown.explanation


def test_the_last_look_after_keeping_counts(settle: Any) -> None:
    looks = (("immediate", 0.1), ("short", 0.1), ("medium", 0.06), ("medium", 0.02))
    assert Gain(rent=0.0).judge(settle(points=looks)).total == pytest.approx(math.tanh(0.1))
    assert Gain(rent=0.0).judge(settle(points=looks[:2])).total == pytest.approx(math.tanh(0.5))


def test_an_unmeasured_gain_still_pays_rent(settle: Any) -> None:
    reward = Gain(rent=0.1).judge(settle(gain=None, flops_after=200.0))
    assert reward.total == pytest.approx(math.tanh(-0.5 * math.log(2)))
    assert reward.confidence == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rent", -0.1),
        ("rent", math.nan),
        ("scale", 0.0),
        ("scale", math.inf),
        ("credit", "luck"),
        ("per", "hour"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_key(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"reward\.{key} must be .*, got {value}"):
        Gain(**{key: value})
