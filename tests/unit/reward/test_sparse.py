"""Only fossilized seeds count."""

import math
from typing import Any

import pytest

from esper.reward.sparse import Sparse


def test_only_a_fossilized_seed_is_rewarded(settle: Any) -> None:
    assert Sparse(scale=5.0).judge(settle(gain=0.1)).total == pytest.approx(math.tanh(0.5))
    culled = Sparse().judge(settle(gain=0.1, fossilized=False))
    assert culled.total == 0
    assert "it is gone" in culled.explanation


def test_a_harmful_seed_that_stays_is_punished(settle: Any) -> None:
    assert Sparse().judge(settle(gain=-0.1)).total == pytest.approx(math.tanh(-0.5))


def test_the_last_look_after_keeping_counts(settle: Any) -> None:
    looks = (("short", 0.1), ("medium", 0.1), ("long", -0.02))
    assert Sparse().judge(settle(points=looks)).total == pytest.approx(math.tanh(-0.1))


def test_what_verdicts_ask_is_taken_off_a_kept_seed_alone(settle: Any) -> None:
    kept = Sparse().judge(settle(gain=0.1, asked_gain=0.04))
    assert kept.total == pytest.approx(math.tanh(5 * 0.06))
    assert kept.components == {"accuracy": 0.1, "cost": 0.04}
    culled = Sparse().judge(settle(gain=0.1, asked_gain=0.04, fossilized=False))
    assert (culled.total, culled.components) == (0, {"accuracy": 0, "cost": 0})


def test_an_unmeasured_gain_counts_as_0(settle: Any) -> None:
    reward = Sparse().judge(settle(gain=None, asked_gain=0.02))
    assert reward.total == pytest.approx(math.tanh(-0.1))
    assert reward.confidence == 0
    assert "gain not measured" in reward.explanation


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_is_not_finite_and_positive_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match=rf"reward\.scale must be finite and > 0, got {scale}"):
        Sparse(scale=scale)
