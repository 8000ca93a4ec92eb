"""UCB by hand."""

import math
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from esper.strategy.base import Context
from esper.strategy.ucb import UCB

Make = Callable[..., Any]


def test_a_score_is_the_mean_plus_the_width_of_its_interval(make_arm: Make) -> None:
    arms = [
        make_arm(0, trials=1, mean_reward=0.25),
        make_arm(1, trials=3, mean_reward=0.75),
    ]
    scores = UCB(exploration_constant=2.0).scores(arms, Context(), Random(0))
    # ln(1 + 3) = 1.386294
    assert scores == [
        pytest.approx(0.25 + 0.25 * math.sqrt(2.772589), abs=1e-6),
        pytest.approx(0.75 + 0.25 * math.sqrt(0.924196), abs=1e-6),
    ]


def test_the_exploration_constant_widens_by_its_root(make_arm: Make) -> None:
    arms = [make_arm(0, trials=4, mean_reward=0.5), make_arm(1, trials=4, mean_reward=0.5)]
    narrow = UCB(exploration_constant=0.5).scores(arms, Context(), Random(0))[0]
    wide = UCB(exploration_constant=2.0).scores(arms, Context(), Random(0))[0]
    assert wide - 0.5 == pytest.approx(2 * (narrow - 0.5))


def test_an_untried_arm_beats_any_tried_arm(make_arm: Make) -> None:
    arms = [make_arm(0, trials=1, mean_reward=1.0), make_arm(1)]
    scores = UCB().scores(arms, Context(), Random(0))
    assert scores == [1.0, math.inf]  # ln 1 = 0


def test_a_bad_prior_speaks_against_an_untried_arm(make_arm: Make) -> None:
    bad = make_arm(0, trials=1.0, mean_reward=0.0, prior_trials=1.0, prior_mean=0.0)
    good = make_arm(1, trials=3, mean_reward=0.9, own_trials=3)
    scores = UCB().scores([bad, good], Context(), Random(0))
    # ln 4: widths 0.25 * sqrt(2 * 1.386294) and a root of 3 less.
    assert scores == pytest.approx([0.416277, 0.9 + 0.240338], abs=1e-6)


def test_the_exploration_constant_must_be_a_finite_number_from_0() -> None:
    for wrong in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"strategy\.exploration_constant must be >= 0"):
            UCB(exploration_constant=wrong)
