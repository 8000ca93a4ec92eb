"""The figures of `near_best`: how often the strategies choose an arm that is about the best.

One run of 30 trials in two slots in turn, with 6 arms whose worth depends on the slot.  An arm is
near-best if its worth is within 0.1 of the best of its slot, the standard deviation of a reward, or
within a tenth of the range of the slot's worths.  Each figure is the share of the last 10 trials,
over all problems, whose arm was not near-best.

Each strategy plays cold, and with a prior as the package ships it: of every blueprint in slots of
this kind, the mean of 4 rewards, each in another slot that no game has; it counts as 3 trials.
"""

from collections.abc import Sequence
from random import Random
from statistics import fmean, stdev

from esper.contracts.ledger import UNKNOWN, PoolPrior
from esper.options import OPTIONS
from experiments.benchmarks.figure import Figure
from experiments.benchmarks.regret_worlds import Problem, Product, World

WORLD = World(name="near_best", num_slots=2, num_runs=1, trials_per_run=30)
STRATEGIES = ("ucb", "thompson", "epsilon_greedy", "performance_weighted")
TENTH = 0.1
NUM_LAST = 10
NUM_PROBLEMS = 100
PRIOR_TRIALS = 4
GOAL = 0.2


def near_best() -> list[Figure]:
    """Return the share of late trials that missed, of every strategy, cold and with a prior."""
    figures = []
    for has_prior in (False, True):
        start = "prior" if has_prior else "cold"
        chance = missed("random", range(NUM_PROBLEMS), has_prior=has_prior)
        reference = f"strategy=random {chance:.3g}, trials 21 to 30 of {NUM_PROBLEMS} problems"
        figures += [
            Figure(
                name=f"near_best_missed_{start}/{name}",
                value=missed(name, range(NUM_PROBLEMS), has_prior=has_prior),
                unit="of trials",
                goal=GOAL,
                reference=reference,
            )
            for name in STRATEGIES
        ]
    return figures


def missed(strategy: str, numbers: Sequence[int], *, has_prior: bool) -> float:
    """Return the share of the last trials of the numbered problems without a near-best arm."""
    return fmean(share for number in numbers for share in _misses(strategy, number, has_prior))


def is_near_best(worths: Sequence[float], arm: int) -> bool:
    """Return whether an arm is near-best among the worths of its slot."""
    best, worst = max(worths), min(worths)
    return worths[arm] >= best - max(WORLD.noise, TENTH * (best - worst))


def expected_pools(problem: Problem, rng: Random) -> list[PoolPrior]:
    """Return what slots that are not in the problem told of its blueprints."""
    world = problem.world
    pools = []
    for arm, shared in enumerate(problem.shared):
        rewards = [
            shared + rng.gauss(0.0, world.slot_spread) + rng.gauss(0.0, world.noise)
            for _ in range(PRIOR_TRIALS)
        ]
        pools.append(
            PoolPrior(
                task_family=UNKNOWN,
                reward_model=UNKNOWN,
                slot_kind="dense",
                placement="parallel",
                blueprint=f"blueprint{arm}",
                trials=PRIOR_TRIALS,
                mean_reward=fmean(rewards),
                spread=stdev(rewards),
                mean_gain=None,
            )
        )
    return pools


def _misses(strategy: str, number: int, has_prior: bool) -> list[bool]:
    problem = Problem(WORLD, Random(f"problem {number}"))
    player = Product(WORLD, OPTIONS["strategy"][strategy](), Random(f"player {number}"))
    player.begin_run(0)
    if has_prior:
        player.selector.ledger.start_from(expected_pools(problem, Random(f"prior {number}")))
    misses = []
    for trial in range(WORLD.trials_per_run):
        slot, progress = trial % WORLD.num_slots, trial / WORLD.trials_per_run
        worths = problem.worths(slot, progress)
        arm = player.choose(slot, None, progress)
        player.learn(slot, arm, problem.reward(worths[arm]), progress)
        misses.append(not is_near_best(worths, arm))
    return misses[-NUM_LAST:]
