"""First-order scores become prior means."""

import math
from statistics import pstdev

import pytest

from esper.strategy.prior import Prior, first_order_priors
from esper.strategy.reward_scale import SPREAD


def test_the_rank_among_the_kernels_measured_is_the_mean() -> None:
    priors = first_order_priors({3: 1e-6, 0: 50.0, 2: 2.0}, weight=2.0)
    # The deviation of 0, 1 and 2 is sqrt(2/3).
    step = 0.25 / math.sqrt(2 / 3)
    assert priors == {
        3: Prior(1e-6, pytest.approx(0.5 - step), 2.0),
        2: Prior(2.0, 0.5, 2.0),
        0: Prior(50.0, pytest.approx(0.5 + step), 2.0),
    }


@pytest.mark.parametrize("number", [2, 4, 6, 40])
def test_priors_spread_as_far_as_rewards(number: int) -> None:
    priors = first_order_priors({seed: float(seed**3) for seed in range(number)}, weight=1.0)
    assert pstdev(prior.mean for prior in priors.values()) == pytest.approx(SPREAD)
    assert all(0 <= prior.mean <= 1 for prior in priors.values())


def test_equal_scores_share_their_ranks_and_a_single_one_says_nothing() -> None:
    shared = first_order_priors({0: 1.0, 1: 2.0, 2: 2.0, 3: 9.0, 4: 9.0}, weight=1.0)
    # The deviation of 0 to 4 is sqrt(2).
    ranks = [0.0, 1.5, 1.5, 3.5, 3.5]
    means = [0.5 + 0.25 * (rank - 2) / math.sqrt(2) for rank in ranks]
    assert [shared[seed].mean for seed in range(5)] == pytest.approx(means)
    assert first_order_priors({4: 3.0}, weight=1.0) == {4: Prior(3.0, 0.5, 1.0)}
    assert first_order_priors({}, weight=1.0) == {}
