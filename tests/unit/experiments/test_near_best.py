"""The figures of how often a strategy chooses an arm that is about the best."""

from random import Random

import pytest

from experiments.benchmarks.near_best import (
    PRIOR_TRIALS,
    WORLD,
    expected_pools,
    is_near_best,
    missed,
)
from experiments.benchmarks.regret_worlds import Problem


def test_near_best_is_within_the_noise_or_a_tenth_of_the_range() -> None:
    assert WORLD.noise == 0.1
    assert [is_near_best([0.5, 0.41, 0.39, 0.0], arm) for arm in range(4)] == [
        True,
        True,
        False,
        False,
    ]
    assert [is_near_best([5.0, 4.6, 4.4, 0.0], arm) for arm in range(4)] == [
        True,
        True,
        False,
        False,
    ]


def test_a_prior_knows_blueprints_but_no_slot() -> None:
    problem = Problem(WORLD, Random(1000))
    pools = expected_pools(problem, Random(0))
    assert [pool.blueprint for pool in pools] == [f"blueprint{arm}" for arm in range(6)]
    error = (WORLD.slot_spread**2 + WORLD.noise**2) ** 0.5 / PRIOR_TRIALS**0.5
    for pool, shared in zip(pools, problem.shared, strict=True):
        assert pool.mean_reward == pytest.approx(shared, abs=4 * error)
        assert pool.trials == PRIOR_TRIALS


@pytest.mark.parametrize("has_prior", [False, True])
def test_a_strategy_misses_less_than_chance(has_prior: bool) -> None:
    numbers = range(1000, 1010)
    chance = missed("random", numbers, has_prior=has_prior)
    assert missed("thompson", numbers, has_prior=has_prior) < chance / 2
