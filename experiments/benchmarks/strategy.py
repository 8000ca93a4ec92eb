"""Time of a selection and of an update, with 8 seeds and full history, compared with MABWiser's.

A selection is `Selector.choose` for a plan of one germination: viability, arms, scores and reasons.
An update makes and records one settled activation.  The two alternate, so that no selection profits
from the one before.  Results are medians in microseconds.
"""

import json
import statistics
from collections.abc import Callable, Sequence
from random import Random
from time import perf_counter_ns
from typing import Any

from esper.contracts.ledger import UNKNOWN, LedgerEntry, Measurement
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.slot import Placement, SeedState, SlotKind, SlotSpec, SlotState
from esper.contracts.stage import SeedStage
from esper.strategy.base import Strategy
from esper.strategy.epsilon_greedy import EpsilonGreedy
from esper.strategy.exp3 import Exp3
from esper.strategy.ledger import Ledger
from esper.strategy.linthompson import LinThompson
from esper.strategy.linucb import LinUCB
from esper.strategy.performance_weighted import PerformanceWeighted
from esper.strategy.record import WINDOW
from esper.strategy.selector import Selector
from esper.strategy.sliding_ucb import SlidingUCB
from esper.strategy.thompson import Thompson
from esper.strategy.ucb import UCB
from esper.strategy.viability import SelectionInputs, Viability

NUM_SEEDS = 8
STRATEGIES: tuple[Strategy, ...] = (
    UCB(),
    Thompson(),
    EpsilonGreedy(),
    PerformanceWeighted(),
    SlidingUCB(),
    Exp3(),
    LinUCB(),
    LinThompson(),
)
IN_MABWISER = ("ucb", "thompson", "epsilon_greedy", "performance_weighted")
GOALS_US = {"select": 50.0, "update": 20.0}
GOAL_BYTES = 1024

_FEATURES = (1.0, 0.5, 0.75, 0.25)

_CATALOGUE = tuple(f"blueprint{index}" for index in range(NUM_SEEDS))
_SPEC = SlotSpec(
    name="block",
    kind=SlotKind.DENSE,
    placement=Placement.PARALLEL,
    in_shape=(16,),
    out_shape=(16,),
    catalogue=_CATALOGUE,
)
_STATE = SlotState(
    spec=_SPEC,
    seeds=tuple(
        SeedState(slot="block", seed=index, stage=SeedStage.DORMANT, bound=_CATALOGUE[index])
        for index in range(NUM_SEEDS)
    ),
)
_PLAN = Plan(
    slot="block",
    kind="diversify",
    changes=(SeedChange(action=Action.GERMINATE),),
    reasoning="benchmark",
)


def measure(rounds: int = 2000, warm_up: int = 1200) -> dict[str, Any]:
    """Return the median microseconds of every strategy, ours and MABWiser's, and the goals."""
    return {
        "seeds": NUM_SEEDS,
        "goals_us": GOALS_US,
        "esper_us": {
            strategy.name: _medians(*_esper(strategy), rounds, warm_up) for strategy in STRATEGIES
        },
        "mabwiser_us": {
            name: _medians(*_mabwiser(name), min(rounds, 300), 20) for name in IN_MABWISER
        },
    }


def _medians(
    select: Callable[[], int], update: Callable[[int, int], None], rounds: int, warm_up: int
) -> dict[str, float]:
    times: dict[str, list[int]] = {"select": [], "update": []}
    for index in range(warm_up + rounds):
        start = perf_counter_ns()
        seed = select()
        middle = perf_counter_ns()
        # The warm-up updates the arms in turn, so that every window is full.
        update(index, index % NUM_SEEDS if index < warm_up else seed)
        end = perf_counter_ns()
        if index >= warm_up:
            times["select"].append(middle - start)
            times["update"].append(end - middle)
    return {name: round(statistics.median(spans) / 1000, 2) for name, spans in times.items()}


def _reward(rng: Random, seed: int) -> float:
    return rng.gauss(0.01 * seed / (NUM_SEEDS - 1), 0.002)


def _esper(strategy: Strategy) -> tuple[Callable[[], int], Callable[[int, int], None]]:
    ledger = Ledger()
    selector = Selector(strategy, Viability(), ledger, Random(0))
    world = Random(1)
    inputs = SelectionInputs(
        state=_STATE,
        epoch=0,
        first_order={seed: float(seed) for seed in range(NUM_SEEDS)},
        context=_FEATURES,
    )

    def select() -> int:
        _, (selection,) = selector.choose(_PLAN, inputs)
        assert selection.seed is not None
        return selection.seed

    def update(index: int, seed: int) -> None:
        ledger.record(_entry(index, seed, _reward(world, seed)))

    return select, update


def record_bytes(num_trials: int = 2000) -> dict[str, int]:
    """Return the size of the largest record of a seed and of an arm, as JSON, with full history."""
    ledger, world = Ledger(), Random(1)
    for index in range(num_trials):
        seed = index % NUM_SEEDS
        reward = _reward(world, seed)
        ledger.note_activation("block", seed, index)
        ledger.note_context("block", seed, index, _FEATURES)
        for _ in range(WINDOW):
            measured = Measurement(
                accuracy_improvement=world.gauss(0.0, 0.01), loss_reduction=reward, memory_mb=1.234
            )
            ledger.note_measurement("block", seed, measured)
        ledger.record(_entry(index, seed, reward))
    state = ledger.state_dict()
    return {
        name: max(len(json.dumps(each[-1], separators=(",", ":"))) for each in state[key])
        for name, key in (("seed", "records"), ("arm", "arms"))
    }


def _entry(index: int, seed: int, reward: float) -> LedgerEntry:
    """Return an entry of one of two slots in turn."""
    return LedgerEntry(
        run="benchmark",
        event=str(index),
        slot=("block", "other")[index // NUM_SEEDS % 2],
        seed=seed,
        slot_kind="dense",
        placement="parallel",
        blueprint=_CATALOGUE[seed],
        task_family=UNKNOWN,
        reward_model=UNKNOWN,
        epoch=index,
        reward=reward,
        accuracy_improvement=reward,
        loss_reduction=reward,
        latency_ms=0.1,
        memory_mb=1.0,
        context=_FEATURES,
    )


def _mabwiser(name: str) -> tuple[Callable[[], int], Callable[[int, int], None]]:
    from mabwiser.mab import MAB, LearningPolicy  # an extra, needed only here

    world = Random(1)
    policies = {
        "ucb": LearningPolicy.UCB1(alpha=2.0),
        "thompson": LearningPolicy.ThompsonSampling(binarizer=_is_success),
        "epsilon_greedy": LearningPolicy.EpsilonGreedy(epsilon=0.1),
        "performance_weighted": LearningPolicy.Softmax(tau=1.0),
    }
    arms: Sequence[int] = list(range(NUM_SEEDS))
    mab = MAB(arms=arms, learning_policy=policies[name], seed=0)
    mab.fit(decisions=arms, rewards=[_reward(world, seed) for seed in arms])

    def update(index: int, seed: int) -> None:
        mab.partial_fit(decisions=[seed], rewards=[_reward(world, seed)])

    return mab.predict, update


def _is_success(arm: int, reward: float) -> bool:
    return reward > 0.005
