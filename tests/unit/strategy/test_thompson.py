"""Thompson sampling: the posterior's parameters, and that every score is a fresh draw."""

import math
from collections import Counter
from collections.abc import Callable
from random import Random
from statistics import fmean
from typing import Any

import pytest

from esper.contracts.arm import ArmStats
from esper.strategy.base import Context
from esper.strategy.thompson import Thompson

Make = Callable[..., Any]


def _draws(arm: ArmStats, *, num: int = 4000, **options: float) -> list[float]:
    rng = Random(1)
    strategy = Thompson(**options)
    return [strategy.scores([arm], Context(), rng)[0] for _ in range(num)]


def test_draws_follow_the_beta_posterior(make_arm: Make) -> None:
    # 10 trials of mean 0.7 are 7 successes and 3 failures: Beta(8, 4).
    draws = _draws(make_arm(0, trials=10, mean_reward=0.7))
    assert fmean(draws) == pytest.approx(8 / 12, abs=0.01)
    variance = fmean([(draw - 8 / 12) ** 2 for draw in draws])
    assert variance == pytest.approx(8 * 4 / (12**2 * 13), rel=0.1)


def test_rewards_with_less_noise_count_more(make_arm: Make) -> None:
    # Noise 0.25 is half of a coin's, so that 10 trials count as 40: Beta(29, 13).
    rng = Random(1)
    arm = make_arm(0, trials=10, mean_reward=0.7)
    draws = [Thompson().scores([arm], Context(noise=0.25), rng)[0] for _ in range(4000)]
    assert fmean(draws) == pytest.approx(29 / 42, abs=0.005)
    variance = fmean([(draw - 29 / 42) ** 2 for draw in draws])
    assert variance == pytest.approx(29 * 13 / (42**2 * 43), rel=0.1)


def test_rewards_without_noise_do_not_divide_by_zero(make_arm: Make) -> None:
    (draw,) = Thompson().scores(
        [make_arm(0, trials=4, mean_reward=0.7)], Context(noise=0.0), Random(1)
    )
    assert draw == pytest.approx(0.7, abs=0.02)


def test_the_prior_counts_as_trials(make_arm: Make) -> None:
    draws = _draws(make_arm(0, trials=2, mean_reward=0.5), prior_alpha=5.0, prior_beta=1.0)
    assert fmean(draws) == pytest.approx(6 / 8, abs=0.01)


def test_the_same_counts_choose_different_arms(make_arm: Make) -> None:
    """A draw at each update instead of each selection would repeat the same choice."""
    arms = [make_arm(0, trials=3, mean_reward=0.6), make_arm(1, trials=3, mean_reward=0.5)]
    rng = Random(2)
    chosen = Counter()
    for _ in range(5000):
        scores = Thompson().scores(arms, Context(), rng)
        chosen[scores.index(max(scores))] += 1
    # P(Beta(2.8, 2.2) > Beta(2.5, 2.5)) is about 0.59.
    assert 0.55 < chosen[0] / 5000 < 0.65


def test_priors_must_be_above_0() -> None:
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"strategy\.prior_alpha must be > 0"):
            Thompson(prior_alpha=wrong)
        with pytest.raises(ValueError, match=r"strategy\.prior_beta must be > 0"):
            Thompson(prior_beta=wrong)
