"""Every strategy and every store obeys its contract."""

import copy
import json
import math
from collections.abc import Sequence
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.contracts.arm import ArmStats
from esper.contracts.ledger import UNKNOWN, LedgerEntry
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.slot import Placement, SeedState, SlotKind, SlotSpec, SlotState
from esper.contracts.stage import SeedStage
from esper.store.base import Store, StoreOption
from esper.store.memory import Memory
from esper.store.sqlite import SQLite
from esper.strategy.base import MAX_WINDOW, Context, Strategy
from esper.strategy.epsilon_greedy import EpsilonGreedy
from esper.strategy.exp3 import Exp3
from esper.strategy.fixed import Fixed
from esper.strategy.ledger import Ledger
from esper.strategy.linthompson import LinThompson
from esper.strategy.linucb import LinUCB
from esper.strategy.neural import Neural
from esper.strategy.performance_weighted import PerformanceWeighted
from esper.strategy.random import Random as RandomStrategy
from esper.strategy.round_robin import RoundRobin
from esper.strategy.selector import Selector
from esper.strategy.sliding_ucb import SlidingUCB
from esper.strategy.thompson import Thompson
from esper.strategy.ucb import UCB
from esper.strategy.viability import SelectionInputs, Viability

STRATEGIES: tuple[Strategy, ...] = (
    UCB(),
    Thompson(),
    EpsilonGreedy(),
    PerformanceWeighted(),
    SlidingUCB(),
    Exp3(),
    LinUCB(),
    LinThompson(),
    Neural(),
    Fixed(),
    RandomStrategy(),
    RoundRobin(),
)
LEARNING = STRATEGIES[:9]
NAMES = tuple("abcd")

every = pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)

UNIT = st.floats(0, 1)


@st.composite
def _arms(draw: st.DrawFn) -> list[ArmStats]:
    arms = []
    for seed in range(draw(st.integers(1, 8))):
        recent = tuple(draw(st.lists(UNIT, max_size=30)))
        arms.append(
            ArmStats(
                seed=seed,
                blueprint=NAMES[seed % 4],
                trials=len(recent),
                mean_reward=sum(recent) / len(recent) if recent else 0.5,
                recent_rewards=recent,
                selections=draw(st.integers(0, 30)),
                first_order=draw(st.none() | st.floats(0, 10)),
            )
        )
    return arms


@every
@given(arms=_arms(), urgency=UNIT, selections=st.integers(0, 10_000), rng_seed=st.integers(0, 99))
def test_scores_are_a_function_of_counts_and_generator(
    strategy: Strategy, arms: Sequence[ArmStats], urgency: float, selections: int, rng_seed: int
) -> None:
    context = Context(urgency=urgency, selections=selections)
    before = copy.deepcopy(arms)
    scores = strategy.scores(arms, context, Random(rng_seed))
    assert strategy.scores(tuple(arms), context, Random(rng_seed)) == scores
    assert arms == before
    assert len(scores) == len(arms)
    assert not any(math.isnan(score) for score in scores)
    assert max(scores) > -math.inf  # seed 0 is among the arms


@every
def test_a_strategy_is_a_frozen_option_named_after_its_module(strategy: Strategy) -> None:
    kind = type(strategy)
    assert kind.__module__ == f"esper.strategy.{strategy.name}"
    assert kind.__name__.lower() == strategy.name.replace("_", "")
    assert 0 <= strategy.window_size <= MAX_WINDOW
    for field in fields(kind):  # type: ignore[arg-type]
        assert field.type in (int, float, str, bool)
        with pytest.raises(FrozenInstanceError):
            setattr(strategy, field.name, getattr(strategy, field.name))


SPEC = SlotSpec(
    name="block",
    kind=SlotKind.DENSE,
    placement=Placement.PARALLEL,
    in_shape=(4,),
    out_shape=(4,),
    catalogue=NAMES,
)
STATE = SlotState(
    spec=SPEC,
    seeds=tuple(
        SeedState(slot="block", seed=index, stage=SeedStage.DORMANT, bound=name)
        for index, name in enumerate(NAMES)
    ),
)
PLAN = Plan(
    slot="block", kind="diversify", changes=(SeedChange(action=Action.GERMINATE),), reasoning=""
)


def _entry(event: str, seed: int, reward: float | None, **values: object) -> LedgerEntry:
    defaults: dict[str, object] = {
        "run": "run",
        "event": event,
        "slot": "block",
        "seed": seed,
        "slot_kind": "dense",
        "placement": "parallel",
        "blueprint": NAMES[seed],
        "task_family": UNKNOWN,
        "reward_model": UNKNOWN,
        "epoch": 3,
        "reward": reward,
    }
    return LedgerEntry(**{**defaults, **values})  # type: ignore[arg-type]


def _play(selector: Selector, rounds: range) -> list[int | None]:
    world = Random(8)
    chosen = []
    for index in rounds:
        _, (selection,) = selector.choose(PLAN, SelectionInputs(state=STATE, epoch=index))
        chosen.append(selection.seed)
        assert selection.strategy == selector.strategy.name
        assert selection.reason
        if selection.seed is not None:
            selector.ledger.note_activation("block", selection.seed, index)
            reward = world.gauss(0.1 * selection.seed, 0.1)
            selector.ledger.record(_entry(str(index), selection.seed, reward))
    return chosen


@every
def test_choices_repeat_and_survive_a_save_in_the_middle(strategy: Strategy) -> None:
    straight = Selector(strategy, Viability(), Ledger(), Random(9))
    first = _play(straight, range(40))
    saved = json.loads(json.dumps([straight.ledger.state_dict(), straight.state_dict()]))
    rest = _play(straight, range(40, 80))

    again = Selector(strategy, Viability(), Ledger(), Random(9))
    assert _play(again, range(40)) == first
    resumed = Selector(strategy, Viability(), Ledger(), Random(1))
    resumed.ledger.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    assert _play(resumed, range(40, 80)) == rest


@pytest.mark.parametrize("strategy", LEARNING, ids=lambda s: s.name)
def test_a_learning_strategy_prefers_the_best_arm(strategy: Strategy) -> None:
    chosen = _play(Selector(strategy, Viability(), Ledger(), Random(9)), range(400))
    assert max(range(4), key=chosen.count) == 3
    assert set(chosen) == {0, 1, 2, 3}


def test_the_baselines_do_what_their_names_say() -> None:
    def chosen(strategy: Strategy) -> list[int | None]:
        return _play(Selector(strategy, Viability(), Ledger(), Random(9)), range(8))

    assert chosen(Fixed()) == [0] * 8
    assert chosen(RoundRobin()) == [0, 1, 2, 3, 0, 1, 2, 3]
    assert len(set(chosen(RandomStrategy()))) > 1


@pytest.fixture(params=["memory", "sqlite"])
def store_option(request: pytest.FixtureRequest, tmp_path: Path) -> StoreOption:
    return Memory() if request.param == "memory" else SQLite(str(tmp_path / "esper.db"))


def test_a_store_gives_back_what_was_written(store_option: StoreOption) -> None:
    entries = [
        _entry(
            "1",
            2,
            0.1 + 0.2,
            accuracy_improvement=-0.015,
            loss_reduction=1e-17,
            latency_ms=0.25,
            memory_mb=3.5,
            fossilized=True,
            success=True,
            context=(1.0, 1 / 3, 0.5, 0.0),
        ),
        _entry("0", 0, -1.0),
        _entry("0", 1, None, run="another"),
    ]
    store: Store = store_option.open()
    assert store.load() == []
    store.write(entries[:1])
    store.write(entries[1:])
    store.write([])
    assert store.load() == entries
    assert [type(value) for value in (store.load()[0].fossilized, store.load()[1].success)] == [
        bool,
        bool,
    ]
    store.close()
    store.close()


def test_writing_twice_keeps_one_entry_of_each_key_the_latest(store_option: StoreOption) -> None:
    store = store_option.open()
    entries = [_entry(str(index), 0, float(index)) for index in range(5)]
    store.write(entries)
    store.write(entries)
    store.write([_entry("3", 1, 99.0), _entry("5", 1, 5.0), _entry("5", 1, 6.0)])
    assert store.load() == [
        *entries[:3],
        _entry("3", 1, 99.0),
        entries[4],
        _entry("5", 1, 6.0),
    ]
    store.close()
