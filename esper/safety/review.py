"""Review decisions and plans by named rules before anything changes."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from esper.contracts.decision import Decision, DecisionKind, Refusal
from esper.contracts.observation import Observation
from esper.contracts.plan import Plan
from esper.safety.context import DecisionReview, PlanReview
from esper.safety.decision_rules import DECISION_RULES, known_kind
from esper.safety.options import Safety
from esper.safety.plan_rules import PLAN_RULES

R = TypeVar("R", DecisionReview, PlanReview)


def review(
    decisions: Sequence[Decision], observation: Observation, limits: Safety
) -> tuple[list[Decision], list[Refusal]]:
    """Return the decisions that may be planned, and a refusal of each other one.

    Reviews decisions in order, together with those accepted before.
    """
    accepted: list[Decision] = []
    refusals: list[Refusal] = []
    for decision in decisions:
        inputs = DecisionReview(
            decision=decision, observation=observation, limits=limits, accepted=tuple(accepted)
        )
        is_known = isinstance(decision.kind, DecisionKind)
        refusal = _refusal(inputs, DECISION_RULES[decision.kind] if is_known else (known_kind,))
        if refusal is None:
            accepted.append(decision)
        else:
            refusals.append(refusal)
    return accepted, refusals


def review_plan(review: PlanReview) -> Refusal | None:
    """Return the refusal by the first rule that a plan breaks, None if it breaks none.

    Every germination of the plan must name its seed and its blueprint.
    """
    return _refusal(review, PLAN_RULES, review.plan)


def _refusal(
    review: R, rules: Sequence[Callable[[R], str | None]], plan: Plan | None = None
) -> Refusal | None:
    for rule in rules:
        reason = rule(review)
        if reason is not None:
            return Refusal(rule=rule.__name__, reason=reason, decision=review.decision, plan=plan)
    return None
