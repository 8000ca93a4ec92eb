"""Review decisions, and the plans made for them, before anything changes; refuse by named rules."""

from collections.abc import Sequence

from esper.contracts.decision import Decision, DecisionKind, Refusal
from esper.contracts.observation import Observation
from esper.safety.context import DecisionReview, PlanReview
from esper.safety.decision_rules import DECISION_RULES, known_kind
from esper.safety.options import Safety
from esper.safety.plan_rules import PLAN_RULES


def review(
    decisions: Sequence[Decision], observation: Observation, limits: Safety
) -> tuple[list[Decision], list[Refusal]]:
    """Return the decisions that may be planned, and a refusal of each other one.

    Decisions are reviewed in order, each beside those that were accepted before it.
    """
    accepted: list[Decision] = []
    refusals: list[Refusal] = []
    for decision in decisions:
        refusal = _review_decision(
            DecisionReview(
                decision=decision,
                observation=observation,
                limits=limits,
                accepted=tuple(accepted),
            )
        )
        if refusal is None:
            accepted.append(decision)
        else:
            refusals.append(refusal)
    return accepted, refusals


def _review_decision(review: DecisionReview) -> Refusal | None:
    decision = review.decision
    is_known = isinstance(decision.kind, DecisionKind)
    for rule in DECISION_RULES[decision.kind] if is_known else (known_kind,):
        reason = rule(review)
        if reason is not None:
            return Refusal(rule=rule.__name__, reason=reason, decision=decision)
    return None


def review_plan(review: PlanReview) -> Refusal | None:
    """Return the refusal by the first rule that a plan breaks, None if it may be carried out.

    Every germination of the plan must name its seed and its blueprint.
    """
    for rule in PLAN_RULES:
        reason = rule(review)
        if reason is not None:
            return Refusal(
                rule=rule.__name__, reason=reason, decision=review.decision, plan=review.plan
            )
    return None
