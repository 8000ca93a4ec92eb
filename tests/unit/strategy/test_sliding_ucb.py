"""Sliding-window UCB by hand."""

import math
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from esper.strategy.base import Context
from esper.strategy.sliding_ucb import SlidingUCB

Make = Callable[..., Any]


def test_only_trials_within_the_window_count(make_arm: Make) -> None:
    arms = [
        make_arm(0, trials=9, mean_reward=0.9, num_latest=2, latest_mean=0.3),
        make_arm(1, trials=2, mean_reward=0.5, num_latest=2, latest_mean=0.5),
    ]
    scores = SlidingUCB().scores(arms, Context(), Random(0))
    width = 0.25 * math.sqrt(2 * math.log(4) / 2)
    assert scores == pytest.approx([0.3 + width, 0.5 + width])


def test_an_arm_that_left_the_window_has_its_prior_or_comes_first(make_arm: Make) -> None:
    tried = make_arm(0, trials=1, num_latest=1, latest_mean=1.0)
    gone = make_arm(1, trials=4, mean_reward=0.9)
    known = make_arm(2, trials=5, mean_reward=0.9, prior_trials=2.0, prior_mean=0.4)
    scores = SlidingUCB(exploration_constant=0.0).scores([tried, gone, known], Context(), Random(0))
    assert scores == [1.0, math.inf, pytest.approx(0.4)]


def test_options_out_of_range_are_refused() -> None:
    for key, wrong in (
        ("latest_size", 0),
        ("latest_size", 101),
        ("exploration_constant", -1.0),
        ("first_order_weight", math.inf),
    ):
        with pytest.raises(ValueError, match=rf"strategy\.{key} must be"):
            SlidingUCB(**{key: wrong})
