"""LinUCB by hand."""

import math
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from esper.strategy.base import Context
from esper.strategy.linucb import LinUCB

Make = Callable[..., Any]


def test_a_score_is_the_prediction_plus_the_width_of_its_interval(make_arm: Make) -> None:
    arms = [
        make_arm(0, predicted=0.4, uncertainty=0.09),
        make_arm(1, predicted=0.6, uncertainty=0.01),
    ]
    scores = LinUCB(alpha=2.0).scores(arms, Context(), Random(0))
    assert scores == pytest.approx([0.4 + 2 * 0.25 * 0.3, 0.6 + 2 * 0.25 * 0.1])


def test_alpha_must_be_a_finite_number_from_0() -> None:
    for wrong in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"strategy\.alpha must be >= 0"):
            LinUCB(alpha=wrong)
