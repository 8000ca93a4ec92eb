"""The better half stays."""

from typing import Any

import pytest

from esper.contracts.plan import Action, SeedChange
from esper.orchestrator.specialize import Specialize


def raise_to(seed: int, alpha_target: float) -> SeedChange:
    return SeedChange(action=Action.RETARGET, seed=seed, alpha_target=alpha_target)


def cull(seed: int) -> SeedChange:
    return SeedChange(action=Action.CULL, seed=seed)


def test_the_better_half_rounded_up_is_raised_and_the_rest_culled(
    observe: Any, decide: Any, known: Any
) -> None:
    targets = {0: {"alpha_target": 0.6}, 1: {"alpha_target": 0.9}, 2: {"alpha_target": 0.6}}
    observation = observe("SHADOWING", "PROBATIONARY", "SHADOWING", "DORMANT", seeds=targets)
    knowledge = known({0: 0.5, 1: 0.9, 2: 0.2, 3: 1.0}, gains={"mlp": 0.1, "lora": 0.7})
    plan = Specialize().plan(decide("remove_neurons"), observation, knowledge)
    assert plan.changes == (raise_to(1, 1.0), raise_to(0, 0.8), cull(2))
    assert plan.kind == "specialize"
    assert "of 3 live seeds of slot 'block' keep 0, 1, blend 0, 1 again, cull 2" in plan.reasoning


@pytest.mark.parametrize(("num_seeds", "share", "culled"), [(2, 1.0, 1), (3, 0.5, 1), (4, 0.5, 2)])
def test_those_that_are_kept_can_share_alpha_evenly(
    observe: Any, decide: Any, known: Any, num_seeds: int, share: float, culled: int
) -> None:
    third = {index: {"alpha_target": 1 / 3} for index in range(num_seeds)}
    observation = observe(*["PROBATIONARY"] * num_seeds, seeds=third)
    knowledge = known({index: index / 10 for index in range(num_seeds)})
    plan = Specialize(alpha_step=None).plan(decide("remove_neurons"), observation, knowledge)
    kept = range(num_seeds - 1, culled - 1, -1)
    assert plan.changes == (
        *(raise_to(seed, share) for seed in kept),
        *(cull(seed) for seed in range(culled - 1, -1, -1)),
    )


def test_a_live_seed_that_was_not_measured_yet_keeps_its_share(
    observe: Any, decide: Any, known: Any
) -> None:
    third = {index: {"alpha_target": 1 / 3} for index in range(3)}
    observation = observe("PROBATIONARY", "PROBATIONARY", "TRAINING", seeds=third)
    knowledge = known({0: 0.6, 1: 0.5})
    plan = Specialize(alpha_step=None).plan(decide("remove_neurons"), observation, knowledge)
    assert plan.changes == (raise_to(0, 0.5), cull(1))


@pytest.mark.parametrize("stage", ["GERMINATED", "TRAINING", "BLENDING"])
def test_a_better_seed_in_an_earlier_stage_just_stays(
    observe: Any, decide: Any, known: Any, stage: str
) -> None:
    low = {0: {"alpha_target": 0.5}, 1: {"alpha_target": 0.5}}
    plan = Specialize().plan(
        decide("remove_neurons"), observe(stage, stage, seeds=low), known({0: 0.9, 1: 0.8})
    )
    assert plan.changes == (cull(1),)


def test_a_lone_seed_at_full_alpha_has_nothing_to_gain(
    observe: Any, decide: Any, known: Any
) -> None:
    plan = Specialize().plan(decide("remove_neurons"), observe("SHADOWING"), known({0: 0.9}))
    assert not plan.changes
    assert "no live seed can get another alpha target" in plan.reasoning


def test_an_unmeasured_seed_is_neither_moved_nor_culled_beside_measured_ones(
    observe: Any, decide: Any, known: Any
) -> None:
    observation = observe("SHADOWING", "SHADOWING", "PROBATIONARY")
    plan = Specialize().plan(decide("remove_neurons"), observation, known({0: 0.1, 2: 0.2}))
    assert plan.changes == (cull(0),)
    # Before any was measured all are alike.
    plan = Specialize().plan(decide("remove_neurons"), observation, known())
    assert plan.changes == (cull(1),)


def test_of_equal_seeds_the_one_further_on_stays_and_then_the_lower_index(
    observe: Any, decide: Any, known: Any
) -> None:
    equal = known({0: 0.5, 1: 0.5})
    further = Specialize().plan(decide("remove_neurons"), observe("BLENDING", "SHADOWING"), equal)
    lower = Specialize().plan(decide("remove_neurons"), observe("BLENDING", "BLENDING"), equal)
    assert further.changes == (cull(0),)
    assert lower.changes == (cull(1),)


def test_repeated_steps_reach_exactly_one(observe: Any, decide: Any, known: Any) -> None:
    target, seen = 0.1, []
    while target < 1:
        observation = observe("SHADOWING", seeds={0: {"alpha_target": target}})
        (change,) = (
            Specialize().plan(decide("remove_neurons"), observation, known({0: 0.5})).changes
        )
        target = change.alpha_target
        seen.append(target)
    assert seen == [0.3, 0.5, 0.7, 0.9, 1.0]


def test_in_an_empty_slot_only_a_decision_to_add_germinates_one_seed_to_be_raised_later(
    observe: Any, decide: Any, known: Any
) -> None:
    plan = Specialize().plan(decide("add_neurons"), observe("DORMANT", "DORMANT"), known())
    assert plan.changes == (SeedChange(action=Action.GERMINATE, alpha_target=0.6),)
    assert not Specialize().plan(decide("remove_neurons"), observe("DORMANT"), known()).changes
