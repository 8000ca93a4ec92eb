"""The four adaptations in a user's loop: ensembles, removals, replacements."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, ClassVar

import pytest

from esper.contracts.arm import ArmStats
from esper.contracts.decision import Adaptation, DecisionKind
from esper.contracts.event import EventKind
from esper.contracts.plan import Action
from esper.contracts.stage import SeedStage
from esper.safety.options import Safety
from esper.strategy.base import Context, Strategy
from tests.unit.scripted import LAVISH, Run, adapt, go, script, verdict

REPLACE = replace(adapt("0"), adaptation=Adaptation.REPLACE, seed=0)
REMOVE = replace(adapt("0"), adaptation=Adaptation.REMOVE_NEURONS)


@dataclass(frozen=True)
class Never(Strategy):
    """Wants every seed, but not twice."""

    name: ClassVar[str] = "never_again"

    def scores(self, arms: Sequence[ArmStats], context: Context, rng: Random) -> list[float]:
        return [-math.inf if arm.selections else 0.0 for arm in arms]


def replaced(safety: Safety = LAVISH) -> Run:
    """Return a run in which seed 0 of slot '0' germinates in epoch 2 and is replaced in 6."""
    return go(policy=script(e2=[adapt("0", 1)], e6=[REPLACE]), safety=safety)


def culled(run: Run, epoch: int) -> list[int]:
    """Return the seeds of slot '0' that were culled after an epoch."""
    moves = [event for event in run.told.events if event.kind is EventKind.LIFECYCLE]
    here = [each.body for each in moves if each.epoch == epoch and each.body.slot == "0"]
    return [move.seed for move in here if move.to_stage is SeedStage.CULLED]


def test_a_replaced_seed_germinates_at_once_with_another_blueprint() -> None:
    run = replaced()
    assert run.stages("0", 0)[4:10] == [
        "PROBATIONARY", "CULLED", "EMBARGOED", "RESETTING", "DORMANT", "GERMINATED",
    ]  # fmt: skip
    first, second = [built for built in run.told.of(EventKind.KERNEL) if built.error is None]
    assert first.blueprint != second.blueprint
    (plan,) = [plan for plan in run.told.of(EventKind.PLAN) if plan.kind == "replace"]
    assert [change.action for change in plan.changes] == [Action.CULL, Action.GERMINATE]


def test_what_was_expected_of_a_kernel_is_part_of_its_outcome() -> None:
    run = replaced()
    (plan,) = [plan for plan in run.told.of(EventKind.PLAN) if plan.kind == "replace"]
    first, second = [judged.outcome for judged in run.told.of(EventKind.REWARD)]
    assert first.expected_gain is None, "nothing was known"
    assert second.expected_gain is not None
    assert second.expected_gain == plan.expected_improvement == plan.changes[1].expected_gain


def test_a_seed_of_an_ensemble_is_replaced_at_its_share_of_alpha() -> None:
    layer = replace(adapt("0", 3), adaptation=Adaptation.ADD_LAYER)
    run = go(policy=script(e2=[layer], e6=[REPLACE]), safety=LAVISH)
    (plan,) = [plan for plan in run.told.of(EventKind.PLAN) if plan.kind == "replace"]
    assert plan.changes[1].alpha_target == 1 / 3
    seen = [s for s in run.told.of(EventKind.PERFORMANCE) if s.seed == 0 and s.age == 4]
    assert [each.alpha for each in seen] == pytest.approx([1 / 3] * 2)


def test_a_replacement_that_is_refused_is_a_cull() -> None:
    dear = replace(REPLACE, risk=0.95)
    run = go(policy=script(e2=[adapt("0", 1)], e6=[dear]), safety=LAVISH)
    assert [refusal.rule for refusal in run.told.of(EventKind.SAFETY)] == ["risk"]
    assert run.stages("0", 0)[4:6] == ["PROBATIONARY", "CULLED"]
    assert "GERMINATED" not in run.stages("0", 0)[5:]
    cull = run.told.of(EventKind.DECISION)[-1]
    assert (cull.kind, cull.reason) == (
        DecisionKind.CULL,
        "cannot be replaced: a test wants it",
    )


@pytest.mark.parametrize("orchestrator", ["diversify", "specialize", "ensemble"])
def test_an_orchestrator_that_replaces_nothing_culls_the_seed_to_be_replaced(
    orchestrator: str,
) -> None:
    policy = script(e2=[adapt("0", 1)], e6=[REPLACE])
    run = go(policy=policy, safety=LAVISH, orchestrator=orchestrator)
    assert run.stages("0", 0)[4:6] == ["PROBATIONARY", "CULLED"]
    assert culled(run, epoch=6) == [0]


def test_a_replacement_without_a_blueprint_that_is_safe_is_a_cull_too() -> None:
    barred = ("affine", "lora", "gated_mlp", "mlp", "norm")
    run = go(policy=script(e2=[adapt("0", 1)], e6=[replace(REPLACE, barred=barred)]), safety=LAVISH)
    assert run.stages("0", 0)[4:6] == ["PROBATIONARY", "CULLED"]
    assert "GERMINATED" not in run.stages("0", 0)[5:]


def test_a_replacement_that_the_strategy_does_not_want_is_a_cull_after_which_the_seed_rests() -> (
    None
):
    second = replace(REPLACE, seed=1)
    run = go(policy=script(e2=[adapt("0", 2)], e6=[second]), safety=LAVISH, strategy=Never())
    assert run.stages("0", 1)[4:8] == ["PROBATIONARY", "CULLED", "EMBARGOED", "RESETTING"]
    assert culled(run, epoch=6) == [1]
    chosen = [plan.kind for plan in run.told.of(EventKind.PLAN) if plan.changes]
    assert chosen == ["diversify", "verdict"]


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"slot": "nowhere"}, ["slot_exists", "slot_exists"]),
        ({"slot": None}, ["slot_exists", "slot_exists"]),
        ({"seed": 9}, ["seed_exists", "seed_exists"]),
        ({"learned": True}, ["uncertainty", "uncertainty"]),
    ],
)
def test_the_cull_in_place_of_a_refused_replacement_must_pass_too(
    change: dict[str, Any], rules: list[str]
) -> None:
    run = go(policy=script(e2=[adapt("0", 1)], e6=[replace(REPLACE, **change)]), safety=LAVISH)
    assert [refusal.rule for refusal in run.told.of(EventKind.SAFETY)] == rules
    assert culled(run, epoch=6) == []


def test_a_kernel_too_risky_for_the_limit_is_withheld() -> None:
    run = go(policy=script(e2=[adapt("0", 3)]), safety=replace(LAVISH, max_risk=0.15))
    told = {refusal.rule for refusal in run.told.of(EventKind.SAFETY)}
    assert told == {"max_risk"}
    built = {kernel.blueprint for kernel in run.told.of(EventKind.KERNEL)}
    assert built <= {"affine", "lora"}


def test_an_ensemble_shares_alpha_among_the_seeds_that_germinate() -> None:
    layer = replace(adapt("0", 3), adaptation=Adaptation.ADD_LAYER)
    run = go(policy=script(e2=[layer]), safety=LAVISH)
    (plan,) = [plan for plan in run.told.of(EventKind.PLAN) if plan.kind == "ensemble"]
    assert len(plan.germinations) == 3
    assert {change.alpha_target for change in plan.changes} == {1 / 3}
    alphas = [seen.alpha for seen in run.told.of(EventKind.PERFORMANCE) if seen.age == 4]
    assert alphas == pytest.approx([1 / 3] * 3)


def test_those_that_are_kept_of_an_ensemble_blend_again_and_are_judged_anew() -> None:
    layer = replace(adapt("0", 2), adaptation=Adaptation.ADD_LAYER)
    run = go(epochs=24, policy=script(e2=[layer], e8=[REMOVE]), safety=LAVISH)
    (plan,) = [plan for plan in run.told.of(EventKind.PLAN) if plan.kind == "specialize"]
    retarget, cull = plan.changes
    assert (retarget.action, retarget.alpha_target) == (Action.RETARGET, 1.0)
    assert cull.action is Action.CULL
    assert retarget.seed is not None
    kept = run.stages("0", retarget.seed)
    assert kept[4:8] == ["PROBATIONARY", "BLENDING", "SHADOWING", "PROBATIONARY"]
    seen = [
        (event.epoch, event.body.age)
        for event in run.told.events
        if event.kind is EventKind.PERFORMANCE and event.body.seed == retarget.seed
    ]
    # Ages 4 and 6, then the second blending in epoch 9 ends at age 2.
    assert seen[:4] == [(6, 4), (8, 6), (11, 4), (14, 7)]


def test_a_kernel_does_not_blend_again_when_no_look_would_follow() -> None:
    layer = replace(adapt("0", 2), adaptation=Adaptation.ADD_LAYER)
    run = go(epochs=14, policy=script(e4=[layer], e9=[REMOVE]), safety=LAVISH)
    (refusal,) = run.told.of(EventKind.SAFETY)
    assert (refusal.rule, refusal.plan.kind) == ("blending_again", "specialize")


def test_verdicts_leave_the_rest_of_a_slot_to_a_removal() -> None:
    layer = replace(adapt("0", 3), adaptation=Adaptation.ADD_LAYER)
    cull = verdict(DecisionKind.CULL, "0", 0)
    run = go(epochs=24, policy=script(e2=[layer], e8=[cull, REMOVE]), safety=LAVISH)
    assert run.told.of(EventKind.SAFETY) == []
    (plan,) = [plan for plan in run.told.of(EventKind.PLAN) if plan.kind == "specialize"]
    assert {change.seed for change in plan.changes} == {1, 2, 3} - {
        seed.index for seed in run.grower.host.slots["0"].seeds if not seed.activations
    }
