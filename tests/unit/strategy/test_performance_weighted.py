"""Performance-weighted: recency weights, standardised scores, softmax shares, no overflow."""

import math
from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.contracts.arm import ArmStats
from esper.strategy.base import Context
from esper.strategy.performance_weighted import PerformanceWeighted


def _shares(
    strategy: PerformanceWeighted,
    arms: Sequence[ArmStats],
    urgency: float = 0.0,
    noise: float = 0.1,
) -> list[float]:
    rng = Random(4)
    chosen: Counter[int] = Counter()
    for _ in range(6000):
        scores = strategy.scores(arms, Context(urgency=urgency, noise=noise), rng)
        chosen[scores.index(max(scores))] += 1
    return [chosen[index] / 6000 for index in range(len(arms))]


def _arm(seed: int, *rewards: float) -> ArmStats:
    mean = sum(rewards) / len(rewards)
    return ArmStats(
        seed=seed, blueprint="a", trials=len(rewards), mean_reward=mean, recent_rewards=rewards
    )


def test_shares_are_a_softmax_of_differences_in_standard_errors() -> None:
    # Scores of one reward each differ by 0.2, two standard errors: 1 / (1 + e^-2) = 0.881.
    shares = _shares(PerformanceWeighted(), [_arm(0, 0.4), _arm(1, 0.6)])
    assert shares[1] == pytest.approx(0.881, abs=0.015)


def test_the_scale_of_the_scores_is_of_no_matter() -> None:
    for size in (1e-6, 1.0, 1e4, 1e300):
        arms = [_arm(0, size), _arm(1, 2 * size)]
        shares = _shares(PerformanceWeighted(), arms, noise=size / 2)
        assert shares[1] == pytest.approx(0.881, abs=0.015)


def test_more_trials_tell_arms_apart() -> None:
    # Without decay the standard error of 4 rewards is a half of that of one, 1 / (1 + e^-4).
    # With decay 0.5 it is sqrt(1 + 1/4) / 1.5 = 0.745 of it for 2, 1 / (1 + e^(-2 / 0.745)).
    even = PerformanceWeighted(decay_factor=1.0)
    assert _shares(even, [_arm(0, *[0.4] * 4), _arm(1, *[0.6] * 4)])[1] == pytest.approx(
        0.982, abs=0.01
    )
    decaying = PerformanceWeighted(decay_factor=0.5)
    assert _shares(decaying, [_arm(0, 0.4, 0.4), _arm(1, 0.6, 0.6)])[1] == pytest.approx(
        0.936, abs=0.01
    )


def test_recent_rewards_weigh_more() -> None:
    # decay 0.5: the latest weighs 2/3, so (0, 0.9) scores 0.6 and (0.9, 0) scores 0.3.
    strategy = PerformanceWeighted(decay_factor=0.5)
    assert strategy._recent_score(_arm(0, 0.0, 0.9))[0] == pytest.approx(0.6)
    assert strategy._recent_score(_arm(0, 0.9, 0.0))[0] == pytest.approx(0.3)


def test_only_the_window_counts() -> None:
    strategy = PerformanceWeighted(window_size=2, decay_factor=1.0)
    arms = [_arm(0, 1.0, 0.2, 0.4), _arm(1, 0.2, 0.4), _arm(2, 0.3)]
    scored = [strategy._recent_score(arm)[0] for arm in arms]
    assert scored == pytest.approx([0.3, 0.3, 0.3])


def test_a_prior_counts_as_so_many_recent_rewards() -> None:
    strategy = PerformanceWeighted(decay_factor=0.5)
    arm = _arm(0, 0.0, 0.9)._replace(prior_trials=1.5, prior_mean=0.2)
    # (0.5 * 0 + 1 * 0.9 + 1.5 * 0.2) / (1.5 + 1.5)
    # with the squares 0.25 + 1 and 1.5 of the weights
    assert strategy._recent_score(arm) == pytest.approx((0.4, 2.75 / 9))


def test_where_no_recent_reward_is_known_the_mean_stands_in() -> None:
    arm = ArmStats(seed=0, blueprint="a", trials=3, mean_reward=0.7)
    assert PerformanceWeighted()._recent_score(arm) == (0.7, pytest.approx(1 / 3))


def test_a_higher_temperature_evens_out_and_urgency_sharpens() -> None:
    arms = [_arm(0, 0.4), _arm(1, 0.6)]
    # e^(2/T) / (1 + e^(2/T)) at T = 4 and at T = 0.5
    assert _shares(PerformanceWeighted(temperature=4.0), arms)[1] == pytest.approx(0.622, abs=0.02)
    assert _shares(PerformanceWeighted(), arms, urgency=1.0)[1] == pytest.approx(0.982, abs=0.01)


def test_an_untried_arm_is_as_good_as_the_best() -> None:
    untried = ArmStats(seed=2, blueprint="c")
    shares = _shares(PerformanceWeighted(), [_arm(0, 0.4), _arm(1, 0.6), untried])
    # e, e and 1/e
    assert shares == pytest.approx([0.063, 0.468, 0.468], abs=0.02)


@given(
    rewards=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8),
    temperature=st.floats(1e-300, 1e300),
)
def test_no_score_is_ever_nan(rewards: list[float], temperature: float) -> None:
    arms = [_arm(index, reward) for index, reward in enumerate(rewards)]
    strategy = PerformanceWeighted(temperature=temperature)
    scores = strategy.scores(arms, Context(urgency=1.0), Random(0))
    assert not any(math.isnan(score) for score in scores)


def test_a_draw_of_zero_does_not_fail() -> None:
    class Zero(Random):
        def random(self) -> float:
            return 0.0

    (score,) = PerformanceWeighted().scores([_arm(0, 0.5)], Context(), Zero())
    assert score == pytest.approx(-math.log(60 * math.log(2)))


def test_options_out_of_range_are_refused() -> None:
    for key, wrong in (
        ("window_size", 0),
        ("window_size", 101),
        ("decay_factor", 0.0),
        ("decay_factor", math.nan),
        ("temperature", 0.0),
        ("temperature", math.inf),
    ):
        with pytest.raises(ValueError, match=rf"strategy\.{key} must be"):
            PerformanceWeighted(**{key: wrong})
