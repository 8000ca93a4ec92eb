"""Choices of a run are made again, with and without what it has learned."""

from dataclasses import replace
from random import Random

import pytest

from esper.contracts.ledger import UNKNOWN, LedgerEntry
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.slot import Look, Placement, Prospect, SeedState, SlotKind, SlotSpec, SlotState
from esper.contracts.stage import SeedStage
from esper.grower import prospects
from esper.policy.rules.verdict import VerdictRules
from esper.strategy.ledger import Ledger
from esper.strategy.selector import Selector
from esper.strategy.ucb import UCB
from esper.strategy.viability import SelectionInputs, Viability
from experiments.replay import STRATEGIES, replayed

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


OTHERS = {"a": 5.0, "b": 1.0, "c": 2.0}
"""Rewards of another run."""


def knowing(entries: list[LedgerEntry], ledger: Ledger) -> Selector:
    """Return a selector that takes the highest mean of what a ledger knows, other runs included."""
    ledger.warm_start(entries, "run")
    strategy = UCB(exploration_constant=0.0, first_order_weight=0.0)
    return Selector(strategy, Viability(), ledger, Random(0))


def test_a_choice_is_made_again_without_the_rewards_of_the_run() -> None:
    ledger = Ledger()
    # The rewards of another run stay, and speak for a.
    selector = knowing([entry("other", name, r) for name, r in OTHERS.items()], ledger)
    original = Selector.choose
    with replayed(VerdictRules()) as replay:
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
    with replayed(VerdictRules()):
        selector.choose(plan(None), inputs(1))
    assert selector.rng.random() == Random(3).random()


def test_without_rewards_rested_seeds_are_bound_anew() -> None:
    ledger = Ledger()
    # The rewards of another run speak for a; that of this run speaks against it.
    selector = knowing([entry("other", name, r) for name, r in OTHERS.items()], ledger)
    first = replace(inputs(1), state=SlotState(spec=SPEC, seeds=SEEDS[:2]), first_order={})
    bound_to_c = replace(SEEDS[0], bound="c")
    later = replace(first, epoch=9, state=SlotState(spec=SPEC, seeds=(bound_to_c, SEEDS[1])))
    with replayed(VerdictRules()) as replay:
        selector.choose(plan(None), first)
        ledger.record(entry("run", "a", -90.0))
        filled, _ = selector.choose(plan(None), later)
    assert filled.germinations == [(0, "c")]
    assert replay.choices[1]["chosen"] == ["c"]
    assert replay.choices[1]["blind"] == ["a"]


def gained(run: str, blueprint: str, gain: float) -> LedgerEntry:
    return replace(entry(run, blueprint, gain), loss_reduction=gain)


@pytest.mark.parametrize(("of_other_runs", "blind"), [(0.2, ["b"]), (-0.2, [])])
def test_without_rewards_a_replacement_must_be_worth_it_too(
    of_other_runs: float, blind: list[str]
) -> None:
    ledger = Ledger()
    # Other runs know nothing good of c, this one does.
    others = {"b": of_other_runs, "c": -0.3}
    selector = knowing([gained("other", name, gain) for name, gain in others.items()], ledger)
    at_look = Look(epoch=9, age=4, is_last=False, bar=0.05)
    culled = replace(
        SEEDS[0], stage=SeedStage.PROBATIONARY, gain=-0.1, gain_error=0.001, look=at_look
    )
    hopes = tuple(Prospect(blueprint=name, expected_gain=0.5) for name in ("b", "c"))
    state = SlotState(spec=SPEC, seeds=(culled,), prospects=hopes)
    changes = (
        SeedChange(action=Action.CULL, seed=0, rests=False),
        SeedChange(action=Action.GERMINATE, seed=0, offered=("b", "c")),
    )
    replacing = Plan(slot="block", kind="replace", changes=changes, reasoning="test")
    with replayed(VerdictRules()) as replay:
        selector.choose(plan(None), inputs(1))
        ledger.record(gained("run", "c", 2.0))
        prospects.expected_gains(ledger, state, ("b", "c"), {})
        filled, _ = selector.choose(replacing, SelectionInputs(state=state, epoch=9))
    assert filled.germinations == [(0, "c")]
    assert replay.choices[1]["chosen"] == ["c"]
    assert replay.choices[1]["blind"] == blind
