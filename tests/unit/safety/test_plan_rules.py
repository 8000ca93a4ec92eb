"""Rules on plans, whose seeds are chosen and kernels built: every number is exact."""

import math
from dataclasses import replace

import pytest

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.plan import Plan, SeedChange
from esper.contracts.stage import SeedStage
from esper.safety.context import Usage
from tests.unit.policy.builders import make_observation, make_seed, make_slot
from tests.unit.safety.plans import (
    ADAPT,
    REPLACE,
    RIPE,
    USAGE,
    broken_rule,
    cull,
    fossilize,
    germinate,
    reason_of,
    retarget,
    reviewed,
    seen,
)


def test_what_keeps_every_rule_passes() -> None:
    assert broken_rule() is None
    assert broken_rule(*REPLACE) is None
    assert broken_rule(retarget(0), cull(1), germinate(2), germinate(3, "affine")) is None
    for kind, change in ((DecisionKind.CULL, cull(1)), (DecisionKind.FOSSILIZE, fossilize(1))):
        verdict = Decision(kind=kind, slot="block", seed=1, reason="a test")
        assert broken_rule(change, decision=verdict) is None


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ([germinate(4)], "lifecycle"),
        ([cull(-1)], "lifecycle"),
        ([cull(None)], "lifecycle"),
        ([cull(False)], "lifecycle"),
        ([cull(1.0)], "lifecycle"),
        ([fossilize(1)], "as_decided"),
        ([SeedChange(action="cull", seed=0)], "as_decided"),  # type: ignore[arg-type]
        ([SeedChange(action="prune", seed=0)], "as_decided"),  # type: ignore[arg-type]
        ([germinate(blueprint=None)], "blueprint"),
        ([germinate(blueprint="conv")], "blueprint"),
        ([germinate(alpha_target=0.0)], "alpha_target"),
        ([germinate(alpha_target=1.01)], "alpha_target"),
        ([retarget(alpha=math.nan)], "alpha_target"),
        ([retarget(alpha="1")], "alpha_target"),
        ([retarget(alpha=True)], "alpha_target"),
        ([germinate(), germinate()], "one_change_a_seed"),
        ([germinate(), germinate(3, "affine"), germinate()], "one_change_a_seed"),
        ([cull(0), germinate(0)], "one_change_a_seed"),
        ([germinate(0), cull(0, rests=False)], "one_change_a_seed"),
        ([*REPLACE, retarget(0)], "one_change_a_seed"),
        ([retarget(0), cull(0)], "one_change_a_seed"),
        ([germinate(0)], "lifecycle"),
        ([cull(2)], "lifecycle"),
        ([retarget(2)], "lifecycle"),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused_by_its_rule(
    changes: list[SeedChange], rule: str
) -> None:
    assert broken_rule(*changes) == rule


@pytest.mark.parametrize("stage", SeedStage)
def test_every_change_is_a_move_of_the_lifecycle(stage: SeedStage) -> None:
    slot = make_slot(seeds=(make_seed(stage), RIPE, make_seed(), make_seed()))
    observation = make_observation(slots=(slot,))
    live = ("GERMINATED", "TRAINING", "BLENDING", "SHADOWING", "PROBATIONARY")
    allowed = {"cull": live, "germinate": ("DORMANT",), "retarget": ("SHADOWING", "PROBATIONARY")}
    for change in (cull(0), germinate(0), retarget(0)):
        rule = None if stage in allowed[change.action] else "lifecycle"
        assert broken_rule(change, observation=observation) == rule
    keep = Decision(kind=DecisionKind.FOSSILIZE, slot="block", seed=0, reason="a test")
    rule = None if stage is SeedStage.PROBATIONARY else "lifecycle"
    assert broken_rule(fossilize(0), decision=keep, observation=observation) == rule


def test_a_plan_does_what_was_decided_where_it_was_decided() -> None:
    spare = Decision(kind=DecisionKind.CULL, slot="block", seed=1, reason="a test")
    assert broken_rule(cull(0), decision=spare) == "as_decided"
    assert broken_rule(cull(1), germinate(), decision=spare) == "as_decided"
    assert broken_rule(fossilize(1), decision=spare) == "as_decided"
    wait = Decision(kind=DecisionKind.WAIT, slot="block", reason="a test")
    assert broken_rule(cull(1), decision=wait) == "as_decided"
    assert broken_rule(germinate(1), slot="other") == "as_decided"
    assert broken_rule(slot="nowhere") == "as_decided"


def test_a_replacement_of_a_named_seed_changes_no_other() -> None:
    named = replace(ADAPT, seed=0)
    assert broken_rule(*REPLACE, decision=named) is None
    assert broken_rule(*REPLACE, cull(1), decision=named) == "as_decided"
    assert broken_rule(retarget(0), decision=named) == "as_decided"


@pytest.mark.parametrize(("limit", "rule"), [(0.3, None), (0.29, "max_risk")])
def test_a_risky_blueprint_does_not_germinate(limit: float, rule: str | None) -> None:
    plan = Plan(slot="block", kind="test", changes=(germinate(),), reasoning="a test", risk=0.3)
    refusal = reviewed(plan, ADAPT, seen(), USAGE, max_risk=limit)
    assert (refusal.rule if refusal else None) == rule
    harmless = replace(plan, changes=(cull(0),))
    assert reviewed(harmless, ADAPT, seen(), USAGE, max_risk=0.0) is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"blends_in_time": False}, "epoch 10 is too late: no look would follow in time"),
        ({"blends_in_room": False}, "safety.max_cost pays for no further look"),
    ],
)
def test_no_kernel_blends_again_without_a_look_that_follows(
    changes: dict[str, bool], why: str
) -> None:
    usage = replace(USAGE, **changes)
    assert reason_of(retarget(0), cull(1), usage=usage) == why
    assert broken_rule(cull(0), usage=usage) is None
    assert broken_rule(germinate(2), usage=usage) is None


def test_a_barred_blueprint_is_not_germinated_by_name_either() -> None:
    assert broken_rule(germinate(), decision=replace(ADAPT, barred=("mlp",))) == "blueprint"
    assert broken_rule(germinate(), decision=replace(ADAPT, barred=("lora",))) is None


@pytest.mark.parametrize(
    ("changes", "most", "passes"),
    [
        ([germinate()], 4, True),
        ([germinate()], 3, False),
        ([germinate(), germinate(3, "affine")], 4, False),
        ([cull(1), germinate(), germinate(3, "affine")], 4, True),
        (REPLACE, 3, True),
        # A network over its limit may shrink and be mended, and not grow.
        (REPLACE, 0, True),
        ([cull(0), retarget(1)], 0, True),
        ([germinate()], 0, False),
    ],
)
def test_live_seeds_are_counted_over_the_whole_network(
    changes: list[SeedChange], most: int, passes: bool
) -> None:
    assert broken_rule(*changes, max_live_seeds=most) == (None if passes else "max_live_seeds")


@pytest.mark.parametrize(
    ("changes", "left", "passes"),
    [
        ([germinate()], None, True),
        ([germinate()], 1, True),
        # The germinations of a plan are one event.
        ([germinate(), germinate(3, "affine")], 1, True),
        ([germinate()], 0, False),
        (REPLACE, 0, False),
        ([cull(0), retarget(1)], 0, True),
    ],
)
def test_a_plan_that_germinates_is_an_event_of_a_limited_number(
    changes: list[SeedChange], left: int | None, passes: bool
) -> None:
    usage = replace(USAGE, events_left=left)
    assert broken_rule(*changes, usage=usage) == (None if passes else "max_events")


def test_live_seeds_are_those_of_now_not_those_that_the_policy_saw() -> None:
    assert broken_rule(germinate(), max_live_seeds=4) is None
    grown = make_slot("other", (make_seed(SeedStage.TRAINING),) * 2)
    now = replace(seen(), slots=(seen().slots[0], grown))
    assert broken_rule(germinate(), max_live_seeds=4, observation=now) == "max_live_seeds"


@pytest.mark.parametrize(
    ("changes", "done", "passes"),
    [
        ([germinate()], 2, True),
        ([germinate()], 3, False),
        ([retarget(0), cull(1)], 1, True),
        ([retarget(0), cull(1)], 2, False),
        (REPLACE, 2, True),  # one seed, changed twice
        ([cull(0), cull(1)], 3, True),
    ],
)
def test_the_seeds_changed_in_an_epoch_are_counted_over_its_plans(
    changes: list[SeedChange], done: int, passes: bool
) -> None:
    usage = replace(USAGE, changed_seeds=done)
    rule = None if passes else "max_changes_per_epoch"
    assert broken_rule(*changes, usage=usage, max_changes_per_epoch=3) == rule


@pytest.mark.parametrize(
    ("changes", "parameters", "passes"),
    [
        ([germinate()], 140, True),
        ([germinate()], 139, False),
        ([germinate(), germinate(3, "affine")], 150, True),
        ([germinate(), germinate(3, "affine")], 149, False),
        (REPLACE, 110, True),
        (REPLACE, 109, False),
        ([cull(1), *REPLACE], 50, True),  # ten fewer than before
        ([cull(0), germinate(3, "affine")], 50, True),
        ([cull(0)], 50, True),
    ],
)
def test_the_parameter_budget_counts_the_kernels_that_come_and_go(
    changes: list[SeedChange], parameters: int, passes: bool
) -> None:
    rule = None if passes else "parameter_budget"
    assert broken_rule(*changes, parameter_budget=parameters) == rule


@pytest.mark.parametrize(
    ("changes", "memory", "passes"),
    [
        ([germinate()], 14.0, True),
        ([germinate()], 13.9, False),
        (REPLACE, 11.0, True),
        (REPLACE, 10.9, False),
        ([cull(0), germinate(3, "affine")], 5.0, True),
        # What seed 1 holds is not known, so it gives nothing back.
        ([cull(1), germinate()], 13.9, False),
        ([cull(0)], 5.0, True),
    ],
)
def test_the_memory_budget_counts_the_kernels_that_come_and_go(
    changes: list[SeedChange], memory: float, passes: bool
) -> None:
    rule = None if passes else "memory_budget"
    assert broken_rule(*changes, memory_budget_mb=memory) == rule


def test_a_kernel_of_unknown_cost_is_refused_under_any_budget() -> None:
    unknown = germinate(3, "lora")
    assert broken_rule(unknown, parameter_budget=10**6) == "kernel_costs"
    assert broken_rule(unknown, memory_budget_mb=1e6) == "kernel_costs"
    assert broken_rule(unknown, usage=replace(USAGE, affordable_flops=1e9)) == "kernel_costs"


def test_a_trial_costs_no_more_than_the_run_may() -> None:
    def rule(flops: float, *changes: SeedChange) -> str | None:
        return broken_rule(*changes, usage=replace(USAGE, affordable_flops=flops))

    both = (germinate(), germinate(3, "affine"))
    assert [rule(80.0, germinate()), rule(79.9, germinate())] == [None, "max_cost"]
    assert [rule(100.0, *both), rule(99.9, *both)] == [None, "max_cost"]
    assert rule(79.9, cull(1), germinate()) == "max_cost", "a culled kernel gives no time back"
    assert rule(-1.0, cull(0), retarget(1)) is None


@pytest.mark.parametrize("memory", [None, math.nan, math.inf])
def test_memory_that_was_not_measured_grows_nothing(memory: float | None) -> None:
    usage = Usage(parameters=1, memory_mb=memory)
    assert broken_rule(germinate(), usage=usage, memory_budget_mb=1e6) == "memory_budget"
    assert broken_rule(cull(0), retarget(1), usage=usage, memory_budget_mb=1e6) is None
    assert broken_rule(germinate(), usage=usage) is None


def test_reasons_give_the_numbers() -> None:
    assert reason_of(*REPLACE, parameter_budget=99) == (
        "100 parameters, 110 afterwards (budget 99)"
    )
    assert reason_of(*REPLACE, memory_budget_mb=10.5) == "10 MB, 11 MB afterwards (budget 10.5)"
    assert reason_of(germinate(), max_live_seeds=3) == "3 live seeds, 4 afterwards (at most 3)"
    changed = replace(USAGE, changed_seeds=2)
    assert reason_of(germinate(), usage=changed, max_changes_per_epoch=2) == (
        "2 seeds were changed this epoch, 3 with this plan (at most 2)"
    )
    assert reason_of(cull(0), germinate(0)) == "seed 0 is changed 2 times: cull, germinate"
    spent = replace(USAGE, events_left=0)
    assert (
        reason_of(germinate(), usage=spent, max_events=2) == "no growth event is left (at most 2)"
    )
    poor = replace(USAGE, affordable_flops=50.0)
    words = "its 80 forward FLOPs a sample are more than the 50 that"
    assert reason_of(germinate(), usage=poor) == f"{words} safety.max_cost leaves"
    assert reason_of(germinate(), usage=poor, max_cost=1.5) == f"{words} safety.max_cost=1.5 leaves"
    assert reason_of(germinate(3, "lora"), parameter_budget=10**6) == (
        "kernel 'lora' of seed 3 was not measured"
    )
