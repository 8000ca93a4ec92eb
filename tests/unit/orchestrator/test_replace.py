"""The worst seed gets another kernel."""

from typing import Any

import pytest

from esper.contracts.plan import Action, SeedChange
from esper.orchestrator.replace import Replace


def exchange(seed: int, *offered: str) -> tuple[SeedChange, ...]:
    return (
        SeedChange(action=Action.CULL, seed=seed, rests=False),
        SeedChange(action=Action.GERMINATE, seed=seed, offered=offered),
    )


def test_the_worst_live_seed_under_the_threshold_gets_a_blueprint_that_no_seed_holds(
    observe: Any, decide: Any, known: Any
) -> None:
    observation = observe("SHADOWING", "BLENDING", "DORMANT", bound=("affine", "mlp", "lora"))
    plan = Replace().plan(decide(risk=0.2), observation, known({0: 0.25, 1: 0.1}))
    assert plan.changes == exchange(1, "lora", "gated_mlp")
    assert plan.reasoning.endswith("lora or gated_mlp in place of mlp")
    assert (plan.kind, plan.slot, plan.risk) == ("replace", "block", 0.2)
    assert plan.expected_improvement is None, "not known before kernels are ranked"
    assert not plan.exceeds_concurrency


def test_a_named_seed_is_replaced_even_if_another_one_is_worse(
    observe: Any, decide: Any, known: Any
) -> None:
    observation = observe("PROBATIONARY", "PROBATIONARY", bound=("affine", "mlp"))
    knowledge = known({0: 0.9, 1: 0.0})
    plan = Replace().plan(decide(seed=0), observation, knowledge)
    assert plan.changes == exchange(0, "lora", "gated_mlp")
    barred = Replace().plan(decide(seed=0, barred=("gated_mlp",)), observation, knowledge)
    assert barred.changes == exchange(0, "lora")


def test_a_seed_of_an_ensemble_is_replaced_at_its_share_of_alpha(
    observe: Any, decide: Any, known: Any
) -> None:
    third = {index: {"alpha_target": 1 / 3} for index in range(3)}
    observation = observe(*["PROBATIONARY"] * 3, seeds=third)
    plan = Replace().plan(decide(seed=1), observation, known())
    assert [change.alpha_target for change in plan.changes[1:]] == [1 / 3]


def test_a_named_seed_that_is_not_live_is_left_alone(observe: Any, decide: Any, known: Any) -> None:
    plan = Replace().plan(decide(seed=1), observe("SHADOWING", "DORMANT"), known({0: 0.0}))
    assert not plan.changes
    assert "seed 1 is not live" in plan.reasoning


def test_dormant_and_fossilized_seeds_are_never_the_worst(
    observe: Any, decide: Any, known: Any
) -> None:
    observation = observe("DORMANT", "FOSSILIZED", "TRAINING", "EMBARGOED")
    knowledge = known({0: 0.0, 1: 0.0, 2: 0.2, 3: 0.0})
    changes = Replace().plan(decide(), observation, knowledge).changes
    assert {change.seed for change in changes} == {2}


def test_a_seed_exactly_at_the_threshold_or_unknown_stays(
    observe: Any, decide: Any, known: Any
) -> None:
    plan = Replace().plan(decide(), observe("SHADOWING", "TRAINING"), known({0: 0.3}))
    assert not plan.changes
    assert "no live seed is known to score under 0.3" in plan.reasoning


def test_a_seed_without_a_record_is_scored_by_what_its_kernel_was_measured_to_bring(
    observe: Any, decide: Any, known: Any
) -> None:
    observation = observe("SHADOWING", "SHADOWING", seeds={1: {"ablation": -0.05}})
    changes = Replace().plan(decide(), observation, known()).changes
    assert changes == exchange(1, "lora", "gated_mlp")


def test_a_barred_blueprint_is_passed_over(observe: Any, decide: Any, known: Any) -> None:
    plan = Replace().plan(decide(barred=("mlp", "affine")), observe("SHADOWING"), known({0: 0.0}))
    assert plan.changes == exchange(0, "lora", "gated_mlp")


def test_a_seed_stays_when_no_other_blueprint_is_on_offer(
    observe: Any, decide: Any, known: Any
) -> None:
    barred = ("mlp", "lora", "gated_mlp")
    plan = Replace().plan(decide(barred=barred), observe("SHADOWING"), known({0: 0.0}))
    assert not plan.changes
    assert "no other blueprint" in plan.reasoning


def test_nothing_is_replaced_once_growth_is_over(observe: Any, decide: Any, known: Any) -> None:
    plan = Replace().plan(decide(), observe("SHADOWING", may_grow=False), known({0: 0.0}))
    assert not plan.changes
    assert "growth is over" in plan.reasoning


@pytest.mark.parametrize("adaptation", ["add_neurons", "add_layer"])
def test_in_an_empty_slot_a_decision_to_add_germinates_one_seed(
    observe: Any, decide: Any, known: Any, adaptation: str
) -> None:
    observation = observe("DORMANT", "DORMANT", "FOSSILIZED")
    plan = Replace().plan(decide(adaptation, num_seeds=3), observation, known())
    assert plan.changes == (SeedChange(action=Action.GERMINATE, alpha_target=1.0),)


@pytest.mark.parametrize("adaptation", ["replace", "remove_neurons", None])
def test_in_an_empty_slot_any_other_decision_finds_nothing_to_do(
    observe: Any, decide: Any, known: Any, adaptation: str | None
) -> None:
    plan = Replace().plan(decide(adaptation), observe("DORMANT"), known())
    assert not plan.changes
    assert "no seed is live" in plan.reasoning
