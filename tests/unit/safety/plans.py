"""Plans for one slot, and their review."""

from typing import Any

from esper.contracts.decision import Adaptation, Decision, DecisionKind, Refusal
from esper.contracts.observation import Observation
from esper.contracts.plan import Action, KernelCost, Plan, SeedChange
from esper.contracts.stage import SeedStage
from esper.safety.context import PlanReview, Usage
from esper.safety.options import Safety
from esper.safety.review import review_plan
from tests.unit.policy.builders import make_observation, make_seed, make_slot

SHADOWING = make_seed(SeedStage.SHADOWING, bound="lora", parameters=30)
RIPE = make_seed(SeedStage.PROBATIONARY, bound="mlp", parameters=20)
ADAPT = Decision(
    kind=DecisionKind.ADAPT, slot="block", adaptation=Adaptation.REPLACE, reason="a test"
)
USAGE = Usage(parameters=100, memory_mb=10.0)
KERNELS = {
    (0, "lora"): KernelCost(parameters=30, memory_mb=3.0),
    (0, "mlp"): KernelCost(parameters=40, memory_mb=4.0),
    (2, "mlp"): KernelCost(parameters=40, memory_mb=4.0, flops=80.0),
    (3, "affine"): KernelCost(parameters=10, memory_mb=1.0, flops=20.0),
}


def germinate(seed: Any = 2, blueprint: Any = "mlp", **fields: Any) -> SeedChange:
    return SeedChange(action=Action.GERMINATE, seed=seed, blueprint=blueprint, **fields)


def cull(seed: Any = 0, *, rests: bool = True) -> SeedChange:
    return SeedChange(action=Action.CULL, seed=seed, rests=rests)


def retarget(seed: Any = 0, alpha: Any = 0.5) -> SeedChange:
    return SeedChange(action=Action.RETARGET, seed=seed, alpha_target=alpha)


def fossilize(seed: Any = 1) -> SeedChange:
    return SeedChange(action=Action.FOSSILIZE, seed=seed)


REPLACE = (cull(0, rests=False), germinate(0, "mlp"))
"""Seed 0 frees 30 parameters and 3 MB and takes 40 and 4."""


def seen(**changes: Any) -> Observation:
    """Return two live and two dormant seeds in `block`, one of each in another slot."""
    block = make_slot(seeds=(SHADOWING, RIPE, make_seed(), make_seed()))
    other = make_slot("other", (make_seed(SeedStage.TRAINING), make_seed()))
    return make_observation(slots=(block, other), **changes)


def reviewed(
    plan: Plan, decision: Decision, observation: Observation, usage: Usage, **limits: Any
) -> Refusal | None:
    return review_plan(
        PlanReview(
            plan=plan,
            decision=decision,
            observation=observation,
            usage=usage,
            kernels=KERNELS,
            limits=Safety(**limits),
        )
    )


def broken_rule(
    *changes: SeedChange,
    decision: Decision = ADAPT,
    observation: Observation | None = None,
    usage: Usage = USAGE,
    slot: str = "block",
    **limits: Any,
) -> str | None:
    """Return the rule that refused a plan, None if it passed."""
    plan = Plan(slot=slot, kind="test", changes=changes, reasoning="a test")
    refusal = reviewed(plan, decision, observation or seen(), usage, **limits)
    assert refusal is None or (refusal.plan, refusal.decision) == (plan, decision)
    return refusal.rule if refusal else None


def reason_of(*changes: SeedChange, usage: Usage = USAGE, **limits: Any) -> str:
    plan = Plan(slot="block", kind="test", changes=changes, reasoning="a test")
    refusal = reviewed(plan, ADAPT, seen(), usage, **limits)
    assert refusal is not None
    return refusal.reason
