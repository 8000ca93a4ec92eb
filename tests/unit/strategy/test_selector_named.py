"""What the selector does with seeds and blueprints that a plan names."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from esper.contracts.plan import Action, SeedChange
from esper.contracts.slot import Prospect
from esper.contracts.stage import SeedStage
from esper.strategy.base import Strategy
from esper.strategy.fixed import Fixed
from esper.strategy.ledger import Ledger
from esper.strategy.selector import Selector
from esper.strategy.ucb import UCB
from esper.strategy.viability import SelectionInputs, Viability

Make = Callable[..., Any]
GERMINATE = SeedChange(action=Action.GERMINATE)


def _selector(
    strategy: Strategy | None = None, ledger: Ledger | None = None, **options: Any
) -> Selector:
    return Selector(strategy or UCB(), Viability(**options), ledger or Ledger(), Random(0))


def test_a_seed_that_the_plan_names_stays(make_state: Make, make_plan: Make) -> None:
    live = {"stage": SeedStage.PROBATIONARY}
    state = make_state(4, s0=live, s1=live)
    cull = SeedChange(action=Action.CULL, seed=1, rests=False)
    named = SeedChange(action=Action.GERMINATE, seed=1, blueprint="h", alpha_target=0.5)
    inputs = SelectionInputs(state=state, epoch=0)
    filled, (selection,) = _selector().choose(make_plan(cull, named), inputs)
    assert filled.changes == (cull, named)
    assert (selection.seed, selection.blueprint, selection.reason) == (1, "h", "named by the plan")
    # Without a name: the first after its own that no seed of the slot is bound to.
    unnamed = SeedChange(action=Action.GERMINATE, seed=1)
    filled, _ = _selector().choose(make_plan(cull, unnamed), inputs)
    assert filled.changes[1].blueprint == "e"
    filled, _ = _selector().choose(make_plan(SeedChange(action=Action.GERMINATE, seed=2)), inputs)
    assert filled.changes[0].blueprint == "c"


def test_a_named_seed_and_blueprint_are_taken_for_the_others(
    make_state: Make, make_plan: Make
) -> None:
    named = SeedChange(action=Action.GERMINATE, seed=0, blueprint="b")
    inputs = SelectionInputs(state=make_state(3), epoch=0)
    filled, _ = _selector().choose(make_plan(GERMINATE, named), inputs)
    assert [(c.seed, c.blueprint) for c in filled.changes] == [(2, "c"), (0, "b")]


def test_a_named_blueprint_gets_a_viable_seed(make_state: Make, make_plan: Make) -> None:
    change = SeedChange(action=Action.GERMINATE, blueprint="g")
    inputs = SelectionInputs(state=make_state(2), epoch=0, first_order={1: 1.0})
    filled, _ = _selector().choose(make_plan(change), inputs)
    assert [(c.seed, c.blueprint) for c in filled.changes] == [(1, "g")]


def test_the_strategy_chooses_what_a_named_seed_gets(
    make_state: Make, make_plan: Make, make_entry: Make
) -> None:
    ledger = Ledger()
    for index, (name, reward) in enumerate({"e": 1.0, "f": 5.0, "g": 3.0}.items()):
        ledger.record(make_entry(str(index), blueprint=name, reward=reward))
    ledger.note_activation("block", 2, 4)
    cull = SeedChange(action=Action.CULL, seed=2, rests=False)
    offer = SeedChange(action=Action.GERMINATE, seed=2, offered=("e", "f", "g"))
    scores = {"e": 9.0, "f": 2.0, "g": 1.0}
    prospects = tuple(
        Prospect(blueprint=name, expected_gain=0.1, first_order=score)
        for name, score in scores.items()
    )
    state = replace(make_state(4, s2={"stage": SeedStage.TRAINING}), prospects=prospects)
    inputs = SelectionInputs(state=state, epoch=0)
    for weight, chosen in ((0.0, "f"), (50.0, "e")):
        strategy = UCB(exploration_constant=0.0, first_order_weight=weight)
        plan, (selection,) = _selector(strategy, ledger).choose(make_plan(cull, offer), inputs)
        assert plan.germinations == [(2, chosen)]
        assert plan.changes[0] == cull
        assert {each.blueprint for each in selection.alternatives} == {"e", "f", "g"} - {chosen}
        assert selection.reason.startswith("highest score of 3 viable blueprints")
        # The trial that is culled has not settled, so that it is no try before.
        assert "before" not in selection.reason
    # A plan to replace is whole or empty: a cull alone would be another change.
    plan, (selection,) = _selector(Fixed(), ledger).choose(make_plan(cull, offer), inputs)
    assert plan.changes == ()
    assert selection.reason == "fixed wants none of the viable"
