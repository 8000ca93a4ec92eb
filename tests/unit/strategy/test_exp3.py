"""Exp3: its shares by hand, and draws that follow them."""

import math
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from esper.strategy.base import Context
from esper.strategy.exp3 import Exp3

Make = Callable[..., Any]


def test_shares_by_hand(make_arm: Make) -> None:
    arms = [make_arm(0, trials=6, mean_reward=0.8), make_arm(1, trials=4, mean_reward=0.3)]
    # 10 trials, rate 0.2 / 2: the better weighs e^(0.1 * 10 * 0.5) times the other.
    shares = Exp3(exploration=0.2).shares(arms)
    weight = math.exp(0.5) / (math.exp(0.5) + 1)
    assert shares == pytest.approx([0.8 * weight + 0.1, 0.8 * (1 - weight) + 0.1])


def test_an_untried_arm_is_as_good_as_the_best(make_arm: Make) -> None:
    arms = [make_arm(0, trials=60, mean_reward=0.8), make_arm(1)]
    assert Exp3().shares(arms) == pytest.approx([0.5, 0.5])


def test_draws_follow_the_shares(make_arm: Make) -> None:
    arms = [make_arm(i, trials=10, mean_reward=m) for i, m in enumerate((0.2, 0.5, 0.9))]
    rng, strategy = Random(1), Exp3(exploration=0.3)
    chosen: Counter[int] = Counter()
    for _ in range(6000):
        scores = strategy.scores(arms, Context(), rng)
        chosen[scores.index(max(scores))] += 1
    drawn = [chosen[index] / 6000 for index in range(3)]
    assert drawn == pytest.approx(strategy.shares(arms), abs=0.02)


def test_many_trials_do_not_overflow(make_arm: Make) -> None:
    arms = [make_arm(0, trials=10**9, mean_reward=1.0), make_arm(1, trials=1, mean_reward=0.0)]
    assert Exp3(exploration=0.2).shares(arms) == pytest.approx([0.9, 0.1])


def test_options_out_of_range_are_refused() -> None:
    for wrong in (0.0, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"strategy\.exploration must be in \(0, 1\]"):
            Exp3(exploration=wrong)
