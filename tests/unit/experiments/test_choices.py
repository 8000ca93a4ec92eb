"""Choices of a run are made again, and what differs is counted."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from esper.contracts.ledger import UNKNOWN, LedgerEntry
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.slot import Placement, SeedState, SlotKind, SlotSpec, SlotState
from esper.contracts.stage import SeedStage
from esper.strategy.ledger import Ledger
from esper.strategy.selector import Selector
from esper.strategy.ucb import UCB
from esper.strategy.viability import SelectionInputs, Viability
from experiments.choices import CHANGES, PLANS, STRATEGIES, replayed, table

NAMES = ("a", "b", "c")
SPEC = SlotSpec(
    name="block",
    kind=SlotKind.DENSE,
    placement=Placement.PARALLEL,
    in_shape=(4,),
    out_shape=(4,),
    catalogue=NAMES,
)
SEEDS = tuple(
    SeedState(slot="block", seed=index, stage=SeedStage.DORMANT, bound=name)
    for index, name in enumerate(NAMES)
)


def entry(run: str, blueprint: str, reward: float) -> LedgerEntry:
    return LedgerEntry(
        run=run,
        event=blueprint,
        slot="block",
        seed=0,
        slot_kind="dense",
        placement="parallel",
        blueprint=blueprint,
        task_family=UNKNOWN,
        reward_model=UNKNOWN,
        epoch=7,
        reward=reward,
    )


def plan(*seeds: int | None) -> Plan:
    changes = tuple(SeedChange(action=Action.GERMINATE, seed=seed) for seed in seeds)
    return Plan(slot="block", kind="diversify", changes=changes, reasoning="test")


def inputs(epoch: int) -> SelectionInputs:
    order = {0: 1.0, 1: 2.0, 2: 3.0}
    return SelectionInputs(state=SlotState(spec=SPEC, seeds=SEEDS), epoch=epoch, first_order=order)


def test_a_choice_is_made_again_without_the_rewards_of_the_run() -> None:
    ledger = Ledger()
    # The rewards of another run stay, and speak for a.
    others = {"a": 5.0, "b": 1.0, "c": 2.0}
    ledger.warm_start([entry("other", name, reward) for name, reward in others.items()], "run")
    strategy = UCB(exploration_constant=0.0, first_order_weight=0.0)
    selector = Selector(strategy, Viability(), ledger, Random(0))
    original = Selector.choose
    with replayed() as replay:
        selector.choose(plan(None), inputs(1))
        ledger.record(entry("run", "b", 90.0))
        filled, _ = selector.choose(plan(None), inputs(9))
        selector.choose(plan(0), inputs(10))
    assert Selector.choose is original
    assert filled.germinations == [(1, "b")]
    early, late = replay.choices
    assert (early["epoch"], early["settled"]) == (1, 0)
    assert (early["chosen"], early["blind"]) == (["a"], ["a"])
    assert (late["epoch"], late["settled"]) == (9, 1)
    assert (late["chosen"], late["blind"]) == (["b"], ["a"])
    assert {strategy.name for strategy in STRATEGIES} < set(late)


def test_replaying_leaves_the_random_numbers_of_the_run() -> None:
    selector = Selector(UCB(), Viability(), Ledger(), Random(3))
    with replayed():
        selector.choose(plan(None), inputs(1))
    assert selector.rng.random() == Random(3).random()


def test_without_rewards_rested_seeds_are_bound_anew() -> None:
    ledger = Ledger()
    # The rewards of another run speak for a; that of this run speaks against it.
    others = {"a": 5.0, "b": 1.0, "c": 2.0}
    ledger.warm_start([entry("other", name, reward) for name, reward in others.items()], "run")
    strategy = UCB(exploration_constant=0.0, first_order_weight=0.0)
    selector = Selector(strategy, Viability(), ledger, Random(0))
    first = replace(inputs(1), state=SlotState(spec=SPEC, seeds=SEEDS[:2]), first_order={})
    bound_to_c = replace(SEEDS[0], bound="c")
    later = replace(first, epoch=9, state=SlotState(spec=SPEC, seeds=(bound_to_c, SEEDS[1])))
    with replayed() as replay:
        selector.choose(plan(None), first)
        ledger.record(entry("run", "a", -90.0))
        filled, _ = selector.choose(plan(None), later)
    assert filled.germinations == [(0, "c")]
    assert replay.choices[1]["chosen"] == ["c"]
    assert replay.choices[1]["blind"] == ["a"]


def row(change: str, rng_seed: int, *choices: tuple[int, str, str]) -> dict[str, Any]:
    others = {strategy.name: ["a"] for strategy in STRATEGIES}
    made = [
        {"epoch": 9, "settled": settled, "chosen": [one], "blind": [blind], **others}
        for settled, one, blind in choices
    ]
    plans = {**dict.fromkeys(PLANS, 1), "specialize": rng_seed}
    about = {"change": change, "rng_seed": rng_seed, "trials": 8 + rng_seed, "plans": plans}
    return {**about, "choices": made}


def test_the_table_counts_choices_after_the_third_settled_trial() -> None:
    found = table(
        [
            row("default", 0, (2, "a", "b"), (3, "a", "b"), (4, "a", "a")),
            row("default", 1, (5, "a", "a")),
            row("default", 2, (0, "a", "b")),
            row("c=8", 0, (2, "a", "b"), (3, "b", "b"), (4, "a", "a")),
            row("c=8", 1, (5, "a", "a")),
        ]
    )
    assert found["median_trials"] == 9
    assert found["late_choices"] == [2, 1, 0]
    assert found["plans"]["specialize"] == [0, 1, 2]
    assert found["plans"]["replace"] == [1, 1, 1]
    blind = found["differ"]["chosen / blind"]
    assert (blind["are"], blind["of"]) == (1, 3)
    assert blind["share"][0] == pytest.approx(1 / 3)
    assert blind["by_run"][0] == pytest.approx(1 / 4)
    assert found["differ"]["ucb / thompson"]["are"] == 0
    assert found["runs_changed"]["c=8"] == [1, 2]
    assert found["runs_changed"]["c=0.5"] == [0, 0]


def test_runs_are_compared_under_every_reward_and_two_constants() -> None:
    assert list(CHANGES) == ["default", "reward=gain", "reward=sparse", "c=0.5", "c=8"]
