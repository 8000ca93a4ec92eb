"""The figures of `regret`: what the strategies lose in synthetic worlds, with the product's ledger.

Every figure is the mean regret over problems that all strategies share, relative to that of
`strategy=random`, or for `thompson` also to that of Thompson sampling that knows the world.
"""

import math
from collections.abc import Callable
from functools import cache
from random import Random
from statistics import fmean

from esper.options import OPTIONS
from esper.strategy.base import Strategy
from experiments.benchmarks.figure import Figure
from experiments.benchmarks.regret_worlds import Oracle, Player, Problem, Product, World, play

WORLDS = (
    World(name="slots_2", num_slots=2),
    World(name="slots_4", num_slots=4),
    World(name="drift", num_slots=3, memory=0.8),
    World(name="hints", num_slots=3, is_hinted=True),
    World(name="progress", num_slots=3, context_spread=0.1),
)
"""6 arms that depend on the slot; 20 runs of 10 trials share a ledger."""

EVEN = World(
    name="even",
    num_arms=8,
    num_runs=1,
    trials_per_run=2000,
    spread=0.01 / 7 * math.sqrt((8**2 - 1) / 12),
    slot_spread=0.0,
    noise=0.002,
    is_even=True,
)
"""8 arms evenly spread over 0.01, noise 0.002, 2,000 rounds."""

STRATEGIES = (
    *("ucb", "thompson", "epsilon_greedy", "performance_weighted"),
    *("sliding_ucb", "exp3", "linucb", "linthompson", "neural"),
)
PROMISED = STRATEGIES[:4]
HALF, NEAR = 0.5, 1.3
NUM_PROBLEMS = 60
NUM_EVEN = 20

Make = Callable[[World, Random], Player]


def regret() -> list[Figure]:
    """Return the relative regret of every learning strategy in every world."""
    figures = []
    for world in (*WORLDS, EVEN):
        num = NUM_EVEN if world.is_even else NUM_PROBLEMS
        even = mean_regret(world, _product("random"), num)
        known = mean_regret(world, Oracle, num)
        lost = {name: mean_regret(world, _product(name), num) for name in STRATEGIES}
        reference = f"strategy=random, {even:.3g} in {num} problems"
        for name, value in lost.items():
            goal = HALF if name in PROMISED else None
            figures.append(_figure(f"{world.name}/{name}", value / even, goal, reference))
        reference = f"Thompson with the world's true prior, {known:.3g} in {num} problems"
        ratio = lost["thompson"] / known
        figures.append(_figure(f"{world.name}/thompson_known", ratio, NEAR, reference))
    return figures


def mean_regret(world: World, make: Make, num_problems: int) -> float:
    """Return the mean regret of a whole game over problems of a world."""
    return fmean(sum(lost for lost, _ in game(world, make, n)) for n in range(num_problems))


def game(world: World, make: Make, number: int) -> list[tuple[float, bool]]:
    """Return regret, and whether the arm was the best, of every trial of one problem."""
    problem = Problem(world, Random(f"problem {number}"))
    return list(play(problem, make(world, Random(f"player {number}"))))


@cache
def _strategy(name: str) -> Strategy:
    strategy: Strategy = OPTIONS["strategy"][name]()
    return strategy


def _product(name: str) -> Make:
    return lambda world, rng: Product(world, _strategy(name), rng)


def _figure(name: str, value: float, goal: float | None, reference: str) -> Figure:
    return Figure(name=f"regret_{name}", value=value, unit="x", goal=goal, reference=reference)
