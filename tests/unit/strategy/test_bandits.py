"""Regret of the strategies when arms hardly differ, and that every seed gets its turn."""

from functools import cache
from random import Random
from statistics import fmean

import pytest

from esper.contracts.arm import ArmStats
from esper.contracts.ledger import UNKNOWN, LedgerEntry
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.slot import Placement, SeedState, SlotKind, SlotSpec, SlotState, next_binding
from esper.contracts.stage import SeedStage
from esper.strategy.base import Context, Strategy, View
from esper.strategy.epsilon_greedy import EpsilonGreedy
from esper.strategy.exp3 import Exp3
from esper.strategy.ledger import Ledger
from esper.strategy.performance_weighted import PerformanceWeighted
from esper.strategy.random import Random as RandomStrategy
from esper.strategy.selector import Selector
from esper.strategy.sliding_ucb import SlidingUCB
from esper.strategy.thompson import Thompson
from esper.strategy.ucb import UCB
from esper.strategy.viability import SelectionInputs, Viability

BANDITS: tuple[Strategy, ...] = (UCB(), Thompson(), EpsilonGreedy(), PerformanceWeighted())
NAMES = tuple("abcdefgh")
SPREAD, NOISE = 0.01, 0.002

each_bandit = pytest.mark.parametrize("strategy", BANDITS, ids=lambda s: s.name)


def _spec(num_blueprints: int) -> SlotSpec:
    return SlotSpec(
        name="block",
        kind=SlotKind.DENSE,
        placement=Placement.PARALLEL,
        in_shape=(4,),
        out_shape=(4,),
        catalogue=NAMES[:num_blueprints],
    )


def _entry(event: int, seed: int, blueprint: str, reward: float) -> LedgerEntry:
    return LedgerEntry(
        run="run",
        event=str(event),
        slot="block",
        seed=seed,
        slot_kind="dense",
        placement="parallel",
        blueprint=blueprint,
        task_family=UNKNOWN,
        reward_model=UNKNOWN,
        epoch=event,
        reward=reward,
    )


def _best(scores: list[float]) -> int:
    return max(range(len(scores)), key=scores.__getitem__)


@cache
def _world(
    strategy: Strategy, rng_seed: int, rounds: int = 2000, unit: float = 1.0
) -> tuple[float, float]:
    """Play 8 arms, means evenly spread over 0.01; return regret and the best arm's share."""
    world, rng = Random(f"world {rng_seed}"), Random(f"strategy {rng_seed}")
    means = [SPREAD * index / 7 for index in range(8)]
    world.shuffle(means)
    spec, ledger = _spec(8), Ledger()
    regret, hits = 0.0, 0
    for index in range(rounds):
        arms: list[ArmStats] = [
            ledger.arm(spec, seed, name, view=View(strategy.window_size, strategy.latest_size))
            for seed, name in enumerate(NAMES)
        ]
        context = Context(selections=index, noise=ledger.noise)
        seed = _best(strategy.scores(arms, context, rng))
        regret += SPREAD - means[seed]
        hits += means[seed] == SPREAD
        ledger.record(_entry(index, seed, NAMES[seed], unit * world.gauss(means[seed], NOISE)))
    return regret, hits / rounds


@each_bandit
@pytest.mark.parametrize("num_worlds", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_regret_is_less_than_half_of_randoms(strategy: Strategy, num_worlds: int) -> None:
    regret = fmean(_world(strategy, rng_seed)[0] for rng_seed in range(num_worlds))
    random = fmean(_world(RandomStrategy(), rng_seed)[0] for rng_seed in range(num_worlds))
    text = f"{strategy.name}: regret {regret:.3f}, random's {random:.3f}, {num_worlds} worlds"
    print(text)  # noqa: T201 - shown by -s
    assert random == pytest.approx(2000 * SPREAD / 2, rel=0.03)
    assert regret < random / 2


@pytest.mark.parametrize("strategy", [*BANDITS, SlidingUCB(), Exp3()], ids=lambda s: s.name)
def test_the_unit_of_the_rewards_moves_the_best_arms_share_by_under_10_points(
    strategy: Strategy,
) -> None:
    plain = fmean(_world(strategy, rng_seed)[1] for rng_seed in range(3))
    hundredfold = fmean(_world(strategy, rng_seed, unit=100.0)[1] for rng_seed in range(3))
    assert abs(plain - hundredfold) < 0.10


LIMITS = {"as shipped": (Viability(), 9), "all at hand": (Viability(min_dormant_epochs=0), 1)}


def _short_run(strategy: Strategy, rng_seed: int, limits: str, epochs: int = 120) -> int:
    """Grow one slot of 4 seeds and 6 blueprints; return how many seeds were never tried.

    One germination is asked for in every epoch.  As shipped, an activation lasts 9 epochs and the
    rest between two makes room for the other seeds; with all at hand it lasts one epoch and only
    the strategy can see to it that none is forgotten.  Every seed is culled in the end and bound
    anew; none is fossilized, so that a favourite never leaves the field to the others.
    """
    viability, length = LIMITS[limits]
    world = Random(f"run {rng_seed}")
    worth = {name: world.gauss(0.0, 0.005) for name in NAMES[:6]}
    spec, ledger = _spec(6), Ledger()
    selector = Selector(strategy, viability, ledger, Random(f"strategy {rng_seed}"))
    bound = list(NAMES[:4])
    born: dict[int, int] = {}
    used: dict[int, int] = {}
    plan = Plan(
        slot="block", kind="diversify", changes=(SeedChange(action=Action.GERMINATE),), reasoning=""
    )
    for epoch in range(epochs):
        for seed in [s for s, start in born.items() if epoch - start >= length]:
            del born[seed]
            reward = world.gauss(worth[bound[seed]], NOISE)
            ledger.record(_entry(epoch * 4 + seed, seed, bound[seed], reward))
            used[seed] = epoch
            bound[seed] = next_binding(spec.catalogue, bound, seed)
        seeds = [_seed(s, bound[s], s in born, used.get(s)) for s in range(4)]
        inputs = SelectionInputs(state=SlotState(spec=spec, seeds=tuple(seeds)), epoch=epoch)
        for change in selector.choose(plan, inputs)[0].changes:
            assert change.seed is not None
            born[change.seed] = used[change.seed] = epoch
            ledger.note_activation("block", change.seed, epoch)
    return sum(not ledger.arm(spec, seed, bound[seed]).selections for seed in range(4))


def _seed(index: int, bound: str, live: bool, used: int | None) -> SeedState:
    stage = SeedStage.TRAINING if live else SeedStage.DORMANT
    return SeedState(slot="block", seed=index, stage=stage, bound=bound, last_used_epoch=used)


@each_bandit
@pytest.mark.parametrize(
    ("limits", "num_runs"),
    [("as shipped", 100), pytest.param("all at hand", 250, marks=pytest.mark.slow)],
)
def test_every_viable_seed_is_eventually_tried(
    strategy: Strategy, limits: str, num_runs: int
) -> None:
    forgotten = [_short_run(strategy, rng_seed, limits) for rng_seed in range(num_runs)]
    text = f"{strategy.name}, {limits}: {forgotten.count(0)} of {num_runs} runs tried every seed"
    print(text)  # noqa: T201 - shown by -s
    assert forgotten == [0] * num_runs
