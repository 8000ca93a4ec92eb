"""Linear Thompson sampling: the distribution of its draws."""

import math
from collections.abc import Callable
from random import Random
from statistics import fmean, stdev
from typing import Any

import pytest

from esper.strategy.base import Context
from esper.strategy.linthompson import LinThompson

Make = Callable[..., Any]


def test_draws_follow_the_normal_posterior(make_arm: Make) -> None:
    arm, rng = make_arm(0, predicted=0.4, uncertainty=0.25), Random(1)
    strategy, context = LinThompson(scale=2.0), Context(noise=0.1)
    draws = [strategy.scores([arm], context, rng)[0] for _ in range(4000)]
    assert fmean(draws) == pytest.approx(0.4, abs=0.005)
    assert stdev(draws) == pytest.approx(2.0 * 0.1 * 0.5, rel=0.05)


def test_scale_must_be_a_finite_number_from_0() -> None:
    for wrong in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"strategy\.scale must be >= 0"):
            LinThompson(scale=wrong)
