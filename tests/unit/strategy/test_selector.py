"""The selector: ties, named seeds, several germinations, and its reasons."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.contracts.plan import Action, SeedChange
from esper.contracts.stage import SeedStage
from esper.strategy.base import Strategy
from esper.strategy.fixed import Fixed
from esper.strategy.ledger import Ledger
from esper.strategy.selector import Selector
from esper.strategy.thompson import Thompson
from esper.strategy.ucb import UCB
from esper.strategy.viability import SelectionInputs, Viability

Make = Callable[..., Any]
GERMINATE = SeedChange(action=Action.GERMINATE)


def _selector(
    strategy: Strategy | None = None, ledger: Ledger | None = None, **options: Any
) -> Selector:
    return Selector(strategy or UCB(), Viability(**options), ledger or Ledger(), Random(0))


def test_the_highest_score_is_chosen_and_the_others_are_named(
    make_state: Make, make_plan: Make, make_entry: Make
) -> None:
    ledger = Ledger()
    for index, (name, reward) in enumerate({"a": 1.0, "b": 5.0, "c": 3.0}.items()):
        ledger.record(make_entry(str(index), blueprint=name, reward=reward))
    selector = _selector(UCB(exploration_constant=0.0), ledger)
    inputs = SelectionInputs(state=make_state(3), epoch=4)
    plan, (selection,) = selector.choose(
        make_plan(SeedChange(action=Action.GERMINATE, alpha_target=0.25)), inputs
    )
    assert plan.changes == (
        SeedChange(action=Action.GERMINATE, seed=1, blueprint="b", alpha_target=0.25),
    )
    # Rewards 1 5 3: mean 3, deviation 2.
    assert (selection.strategy, selection.slot, selection.seed) == ("ucb", "block", 1)
    assert selection.score == pytest.approx(0.75)
    assert [(a.seed, a.blueprint) for a in selection.alternatives] == [(0, "a"), (2, "c")]
    assert [a.score for a in selection.alternatives] == pytest.approx([0.25, 0.5])
    assert selection.reason == (
        "highest score of 3 viable seeds; "
        "standing among all rewards 0.75 (0 worst, 1 best), from 1 trial here"
    )


def test_untried_arms_rank_by_first_order_score_then_by_index(
    make_state: Make, make_plan: Make
) -> None:
    state = make_state(4)

    def chosen(first_order: dict[int, float]) -> tuple[int | None, str]:
        inputs = SelectionInputs(state=state, epoch=0, first_order=first_order)
        _, (selection,) = _selector(UCB(first_order_weight=0.0)).choose(make_plan(), inputs)
        assert selection.score is None
        return selection.seed, selection.reason

    assert chosen({1: 0.2, 3: 0.7}) == (3, "untried, first by first-order score of 4 untried")
    assert chosen({1: 0.7, 3: 0.7})[0] == 1
    assert chosen({}) == (0, "untried, first by index of 4 untried")


def test_germinations_of_one_plan_get_different_seeds_and_blueprints(
    make_state: Make, make_plan: Make
) -> None:
    state = make_state(4, s1={"bound": "a"}, s3={"bound": "a"})
    plan = make_plan(num_germinations=3, exceeds_concurrency=True)
    filled, selections = _selector().choose(plan, SelectionInputs(state=state, epoch=0))
    assert [(c.seed, c.blueprint) for c in filled.changes] == [(0, "a"), (2, "c")]
    assert [s.seed for s in selections] == [0, 2, None]
    assert selections[2].reason == (
        "no viable seed: seed 0 is in this plan already, seed 2 is in this plan already, "
        "seed 1 'a' is in this plan already, seed 3 'a' is in this plan already"
    )


def test_no_more_seeds_than_the_limit_are_germinated(make_state: Make, make_plan: Make) -> None:
    plan = make_plan(num_germinations=4)
    inputs = SelectionInputs(state=make_state(4), epoch=0)
    filled, selections = _selector().choose(plan, inputs)
    assert [c.seed for c in filled.changes] == [0, 1, 2]
    assert [s.seed for s in selections] == [0, 1, 2, None]


def test_the_kernels_of_a_plan_fit_the_budget_together(make_state: Make, make_plan: Make) -> None:
    inputs = SelectionInputs(
        state=make_state(4),
        epoch=0,
        first_order={0: 4.0, 1: 3.0, 2: 2.0, 3: 1.0},
        flops={0: 50.0, 1: 60.0, 2: 50.0, 3: 1.0},
        affordable_flops=(100.0,),
    )
    filled, selections = _selector().choose(make_plan(num_germinations=3), inputs)
    # Seed 1 promises more than seed 2, but not beside seed 0; seed 3 has no room beside both.
    assert [c.seed for c in filled.changes] == [0, 2]
    assert [s.seed for s in selections] == [0, 2, None]
    assert "seed 3 would make 101 FLOPs of the 100 that may be added" in selections[2].reason
    ample = replace(inputs, affordable_flops=(161.0,))
    filled, _ = _selector().choose(make_plan(num_germinations=3), ample)
    assert [c.seed for c in filled.changes] == [0, 1, 2]


def test_kernels_that_were_not_measured_yet_are_candidates(
    make_state: Make, make_plan: Make
) -> None:
    inputs = SelectionInputs(state=make_state(3), epoch=0, affordable_flops=(1.0,))
    assert _selector().candidates(make_plan(), inputs) == (0, 1, 2)


def test_barred_blueprints_are_not_offered(make_state: Make, make_plan: Make) -> None:
    inputs = SelectionInputs(state=make_state(3), epoch=0, barred=("a", "c"))
    _, (selection,) = _selector().choose(make_plan(), inputs)
    assert selection.seed == 1
    assert selection.reason == (
        "the only viable seed; refused: seed 0 'a' is barred, seed 2 'c' is barred"
    )


def test_without_a_viable_seed_the_answer_is_an_explicit_none(
    make_state: Make, make_plan: Make
) -> None:
    state = make_state(1, s0={"last_used_epoch": 2})
    inputs = SelectionInputs(state=state, epoch=3)
    filled, (selection,) = _selector().choose(make_plan(), inputs)
    assert not filled.changes
    assert selection.reason == "no viable seed: seed 0 rests until epoch 7"


def test_an_arm_that_the_strategy_refuses_is_not_chosen(make_state: Make, make_plan: Make) -> None:
    state = make_state(3, s0={"stage": SeedStage.FOSSILIZED})
    filled, (selection,) = _selector(Fixed()).choose(
        make_plan(), SelectionInputs(state=state, epoch=0)
    )
    assert not filled.changes
    assert selection.reason == "fixed wants none of the viable"
    assert [(a.seed, a.score) for a in selection.alternatives] == [(1, None), (2, None)]


def test_an_optional_germination_needs_a_reward_of_at_least_zero(
    make_state: Make, make_plan: Make, make_entry: Make
) -> None:
    ledger = Ledger()
    # Mean 0, deviation 2: standings 0.25, 0.75 and 0.5, as that of a reward of 0.
    for index, (name, reward) in enumerate({"a": -2.0, "b": 2.0, "c": 0.0}.items()):
        ledger.record(make_entry(str(index), blueprint=name, reward=reward))
    selector = _selector(UCB(exploration_constant=0.0), ledger)
    more = replace(GERMINATE, is_optional=True)
    inputs = SelectionInputs(state=make_state(3), epoch=0)
    filled, selections = selector.choose(make_plan(GERMINATE, more, more, more), inputs)
    assert filled.germinations == [(1, "b"), (2, "c")]
    assert [selection.seed for selection in selections] == [1, 2, None]
    assert selections[-1].reason == (
        "ucb wants no more: a has standing 0.25 (0 worst, 1 best), and a reward of 0 has 0.50"
    )
    assert [(a.seed, a.score) for a in selections[-1].alternatives] == [(0, pytest.approx(0.25))]
    assert _selector().choose(make_plan(GERMINATE, more), inputs)[0].germinations == [(0, "a")]
    # The first one is not optional, however little is expected of it.
    worst = SelectionInputs(state=make_state(1), epoch=0)
    assert selector.choose(make_plan(GERMINATE, more), worst)[0].germinations == [(0, "a")]


def test_other_changes_pass_untouched(make_state: Make, make_plan: Make) -> None:
    changes = (
        SeedChange(action=Action.RETARGET, seed=1, alpha_target=0.5),
        SeedChange(action=Action.FOSSILIZE, seed=2),
    )
    plan = make_plan(*changes)
    inputs = SelectionInputs(state=make_state(3), epoch=0)
    assert _selector().choose(plan, inputs) == (plan, ())
    assert _selector().candidates(plan, inputs) == ()


def test_candidates_are_known_before_their_memory_is(make_state: Make, make_plan: Make) -> None:
    state = make_state(3, s1={"stage": SeedStage.FOSSILIZED})
    selector = _selector()
    inputs = SelectionInputs(state=state, epoch=0, memory_budget_mb=10.0)
    assert selector.candidates(make_plan(), inputs) == (0, 2)
    measured = replace(inputs, memory_mb={0: 9.0, 2: 1.0})
    assert selector.choose(make_plan(), measured)[1][0].seed == 2


def test_choosing_changes_no_counts(make_state: Make, make_plan: Make) -> None:
    ledger = Ledger()
    before = ledger.state_dict()
    _selector(Thompson(), ledger).choose(make_plan(), SelectionInputs(state=make_state(3), epoch=0))
    assert ledger.state_dict() == before


def test_a_restored_selector_chooses_the_same(make_state: Make, make_plan: Make) -> None:
    selector = _selector(Thompson())
    inputs = SelectionInputs(state=make_state(8), epoch=0)
    selector.choose(make_plan(), inputs)
    state = json.loads(json.dumps(selector.state_dict()))
    future = [selector.choose(make_plan(), inputs) for _ in range(10)]
    restored = _selector(Thompson())
    restored.load_state_dict(state)
    assert [restored.choose(make_plan(), inputs) for _ in range(10)] == future
    assert len({choice[1][0].seed for choice in future}) > 1


@given(
    stages=st.lists(st.sampled_from(list(SeedStage)), min_size=1, max_size=6),
    used=st.lists(st.none() | st.integers(0, 12), min_size=6, max_size=6),
    names=st.lists(st.sampled_from("abcd"), min_size=6, max_size=6),
    num_germinations=st.integers(1, 4),
)
def test_whatever_the_slot_a_germination_is_of_a_dormant_seed_within_the_limit(
    make_state: Make,
    make_plan: Make,
    stages: list[SeedStage],
    used: list[int | None],
    names: list[str],
    num_germinations: int,
) -> None:
    seeds = {
        f"s{i}": {"stage": stage, "last_used_epoch": used[i], "bound": names[i]}
        for i, stage in enumerate(stages)
    }
    state = make_state(len(stages), **seeds)
    selector = _selector(Thompson())
    inputs = SelectionInputs(state=state, epoch=12, barred=("d",))
    filled, selections = selector.choose(make_plan(num_germinations=num_germinations), inputs)
    chosen = [change.seed for change in filled.changes]
    blueprints = [change.blueprint for change in filled.changes]
    assert len(selections) == num_germinations
    assert [s.seed for s in selections if s.seed is not None] == chosen
    assert all(state.seeds[seed].stage is SeedStage.DORMANT for seed in chosen)
    assert all(
        state.seeds[seed].bound == name for seed, name in zip(chosen, blueprints, strict=True)
    )
    assert len(set(chosen)) == len(chosen)
    assert len(set(blueprints)) == len(blueprints)
    assert "d" not in blueprints
    if chosen:
        assert len(state.live) + len(chosen) <= 3
    assert set(chosen) <= set(selector.candidates(make_plan(num_germinations=4), inputs))
    assert all(s.reason for s in selections)
    assert all(s.score is None or math.isfinite(s.score) for s in selections)
