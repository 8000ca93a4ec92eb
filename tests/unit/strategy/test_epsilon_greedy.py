"""Epsilon-greedy: how often it explores, how that decays, and its choice otherwise."""

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from esper.contracts.arm import ArmStats
from esper.strategy.base import Context
from esper.strategy.epsilon_greedy import EpsilonGreedy

Make = Callable[..., Any]


def _share_of_best(strategy: EpsilonGreedy, arms: Sequence[ArmStats], selections: int) -> float:
    rng = Random(3)
    context = Context(selections=selections)
    hits = 0
    for _ in range(4000):
        scores = strategy.scores(arms, context, rng)
        hits += scores.index(max(scores)) == 2
    return hits / 4000


@pytest.fixture
def arms(make_arm: Make) -> list[ArmStats]:
    return [make_arm(i, trials=5, mean_reward=m) for i, m in enumerate((0.1, 0.2, 0.9, 0.3))]


def test_without_epsilon_the_scores_are_the_means(arms: Sequence[ArmStats]) -> None:
    scores = EpsilonGreedy(epsilon=0.0).scores(arms, Context(), Random(0))
    assert scores == [0.1, 0.2, 0.9, 0.3]


def test_it_explores_with_probability_epsilon(arms: Sequence[ArmStats]) -> None:
    # Of 40 % explorations a quarter hits the best of 4 arms all the same.
    assert _share_of_best(EpsilonGreedy(epsilon=0.4), arms, 0) == pytest.approx(0.7, abs=0.03)


def test_exploration_decays_with_the_selections_of_the_run(arms: Sequence[ArmStats]) -> None:
    # 0.9^20 = 0.1216: explores in 12.2 %, misses in 9.1 %.
    strategy = EpsilonGreedy(epsilon=1.0, decay_rate=0.9)
    assert _share_of_best(strategy, arms, 20) == pytest.approx(1 - 0.0912, abs=0.02)


def test_an_untried_arm_counts_as_the_best(make_arm: Make) -> None:
    arms = [make_arm(0, trials=5, mean_reward=0.9), make_arm(1)]
    scores = EpsilonGreedy(epsilon=0.0).scores(arms, Context(), Random(0))
    assert scores == [0.9, math.inf]


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"strategy\.epsilon must be in \[0, 1\], got 1\.5"):
        EpsilonGreedy(epsilon=1.5)
    with pytest.raises(ValueError, match=r"strategy\.epsilon"):
        EpsilonGreedy(epsilon=math.nan)
    for wrong in (0.0, 1.01, math.nan):
        with pytest.raises(ValueError, match=r"strategy\.decay_rate must be in \(0, 1\]"):
            EpsilonGreedy(decay_rate=wrong)
