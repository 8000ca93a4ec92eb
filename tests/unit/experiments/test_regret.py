"""The worlds of the benchmark of regret, and goals that the strategies reach in them."""

import math
from random import Random
from statistics import fmean, pstdev

import pytest

from esper.strategy.thompson import Thompson
from experiments.benchmarks.regret import EVEN, WORLDS, mean_regret
from experiments.benchmarks.regret_worlds import Oracle, Problem, Product, World, play

STILL = World(name="still", num_slots=2, num_runs=2, trials_per_run=4, noise=0.0)


def test_even_arms_are_evenly_spread_over_a_hundredth() -> None:
    worths = sorted(Problem(EVEN, Random(0)).worths(0, 0.0))
    assert worths == pytest.approx([0.01 * index / 7 for index in range(8)])
    assert pstdev(worths) == pytest.approx(EVEN.spread)


def test_worths_differ_between_slots_and_drift_keeps_their_spread() -> None:
    problem = Problem(World(name="drift", num_slots=2, num_arms=4000, memory=0.5), Random(0))
    before = [problem.worths(slot, 0.0) for slot in (0, 1)]
    problem.drift()
    after = problem.worths(0, 0.0)
    for worths in (*before, after):
        assert pstdev(worths) == pytest.approx(math.hypot(0.1, 0.1), rel=0.05)
    assert correlation(before[0], before[1]) == pytest.approx(0.5, abs=0.05)
    assert correlation(before[0], after) == pytest.approx(0.5, abs=0.05)


def correlation(one: list[float], other: list[float]) -> float:
    middle, other_middle = fmean(one), fmean(other)
    products = [(x - middle) * (y - other_middle) for x, y in zip(one, other, strict=True)]
    return fmean(products) / pstdev(one) / pstdev(other)


def test_the_regret_of_a_trial_is_what_the_best_arm_of_its_slot_had_over() -> None:
    class Last:
        def begin_run(self, number: int) -> None:
            pass

        def choose(self, slot: int, scores: object, progress: float) -> int:
            return 5

        def learn(self, slot: int, arm: int, reward: float, progress: float) -> None:
            assert reward == problem.worths(slot, progress)[arm]

    problem = Problem(STILL, Random(3))
    worths = [problem.worths(slot, 0.0) for slot in (0, 1)]
    lost = [max(each) - each[5] for each in worths]
    expected = [(lost[trial % 2], lost[trial % 2] == 0.0) for trial in range(4)] * 2
    assert list(play(problem, Last())) == expected


def test_the_oracle_updates_by_hand() -> None:
    """Prior variance 2 and covariance 1 of two slots; a reward of 3 with noise 1 in slot 0."""
    world = World(name="hand", num_slots=2, spread=1.0, slot_spread=1.0, noise=1.0)
    oracle = Oracle(world, Random(0))
    oracle.begin_run(0)
    oracle.learn(0, 2, 3.0, 0.0)
    assert oracle.means[2] == pytest.approx([2.0, 1.0])
    assert oracle.covariances[2][0] == pytest.approx([2 / 3, 1 / 3])
    assert oracle.covariances[2][1] == pytest.approx([1 / 3, 2 - 1 / 3])
    assert oracle.means[0] == [0.0, 0.0]


def test_a_run_starts_from_the_entries_of_all_former_ones() -> None:
    player = Product(STILL, Thompson(), Random(0))
    player.begin_run(0)
    player.learn(1, 3, 0.5, 0.0)
    player.begin_run(1)
    ledger = player.selector.ledger
    assert ledger.arm(player.states[1].spec, 3, "blueprint3").own_trials == 1
    assert ledger.entries_of_run() == []


@pytest.mark.parametrize("world", WORLDS[:2], ids=lambda world: world.name)
def test_thompson_loses_at_most_1_3_times_what_it_would_with_the_true_prior(world: World) -> None:
    lost = mean_regret(world, lambda world, rng: Product(world, Thompson(), rng), 25)
    assert lost < 1.3 * mean_regret(world, Oracle, 25)
