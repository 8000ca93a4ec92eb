"""Review decisions, and the plans they become, before anything changes; refuse by named rules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from esper.contracts.decision import Decision, DecisionKind, Refusal
from esper.contracts.observation import Observation
from esper.contracts.plan import Plan
from esper.safety import decision_rules as rules
from esper.safety import plan_rules as plans
from esper.safety.context import KernelCosts, PlanReview, Review, Usage

__all__ = ["PLAN_RULES", "RULES", "Safety", "Usage"]

Rule = Callable[[Review], str | None]
PlanRule = Callable[[PlanReview], str | None]

FORM: dict[str, Rule] = {
    "known_kind": rules.known_kind,
    "reason": rules.reason,
    "numbers": rules.numbers,
    "barred": rules.barred,
}
"""Rules that every decision must keep, one to wait included."""

RULES: dict[str, Rule] = FORM | {
    "known_adaptation": rules.known_adaptation,
    "slot_exists": rules.slot_exists,
    "seed_exists": rules.seed_exists,
    "lifecycle": rules.lifecycle,
    "governor": rules.governor,
    "measured": rules.measured,
    "ablation_veto": rules.ablation_veto,
    "growth_window": rules.growth_window,
    "growable": rules.growable,
    "cooldown": rules.cooldown,
    "health": rules.health,
    "blueprint_left": rules.blueprint_left,
    "confidence": rules.confidence,
    "uncertainty": rules.uncertainty,
    "risk": rules.risk,
    "one_change_a_target": rules.one_change_a_target,
    "max_adaptations_per_epoch": rules.max_adaptations_per_epoch,
    "max_live_seeds": rules.max_live_seeds,
    "parameter_budget": rules.parameter_budget,
    "memory_budget": rules.memory_budget,
}
"""Every rule on decisions, in the order in which they are asked; each may rely on those before."""

PLAN_RULES: dict[str, PlanRule] = {
    "slot_exists": plans.slot_exists,
    "seed_exists": plans.seed_exists,
    "as_decided": plans.as_decided,
    "blueprint": plans.blueprint,
    "alpha_target": plans.alpha_target,
    "one_change_a_seed": plans.one_change_a_seed,
    "lifecycle": plans.lifecycle,
    "growth_window": plans.growth_window,
    "governor": plans.governor,
    "max_live_seeds": plans.max_live_seeds,
    "max_changes_per_epoch": plans.max_changes_per_epoch,
    "parameter_budget": plans.parameter_budget,
    "memory_budget": plans.memory_budget,
}
"""Every rule on plans; one that has the name of a rule on decisions holds exactly what that one
could only hold roughly."""


@dataclass(frozen=True)
class Safety:
    """Limits that no policy can step over.

    min_confidence: of a learned policy's decision, in [0, 1].
    max_uncertainty: epistemic uncertainty in [0, 1]; a learned policy must state its own.
    max_adaptations_per_epoch: slots that may be adapted in an epoch.
    max_changes_per_epoch: seeds that may be changed in an epoch; culls count, but always pass.
    max_live_seeds: live seeds that the whole network may have, None for no limit.
    max_risk: in [0, 1].
    parameter_budget: parameters that the network may have, None for no limit.
    memory_budget_mb: megabytes that the network and its optimizer may take, None for no limit.
    """

    min_confidence: float = 0.75
    max_uncertainty: float = 0.2
    max_adaptations_per_epoch: int = 2
    max_changes_per_epoch: int = 64
    max_live_seeds: int | None = None
    max_risk: float = 0.9
    parameter_budget: int | None = None
    memory_budget_mb: float | None = None

    def __post_init__(self) -> None:
        for key in ("min_confidence", "max_uncertainty", "max_risk"):
            _require(0 <= getattr(self, key) <= 1, key, "in [0, 1]", getattr(self, key))
        for key in ("max_adaptations_per_epoch", "max_changes_per_epoch"):
            _require(getattr(self, key) >= 0, key, ">= 0", getattr(self, key))
        live = self.max_live_seeds
        _require(live is None or live >= 0, "max_live_seeds", ">= 0 or null", live)
        for key in ("parameter_budget", "memory_budget_mb"):
            budget = getattr(self, key)
            _require(budget is None or budget > 0, key, "> 0 or null", budget)

    def review(
        self, decisions: Sequence[Decision], observation: Observation, usage: Usage
    ) -> tuple[list[Decision], list[Refusal]]:
        """Return the decisions that may be carried out, and the others with the rule they broke.

        Decisions are reviewed in order, each beside those that were accepted before it.
        """
        accepted: list[Decision] = []
        refusals: list[Refusal] = []
        for decision in decisions:
            review = Review(
                decision=decision,
                observation=observation,
                usage=usage,
                limits=self,
                accepted=tuple(accepted),
            )
            refusal = _first_broken(review)
            if refusal is None:
                accepted.append(decision)
            else:
                refusals.append(refusal)
        return accepted, refusals

    def review_plan(
        self,
        plan: Plan,
        decision: Decision,
        observation: Observation,
        usage: Usage,
        kernels: KernelCosts,
    ) -> Refusal | None:
        """Return the first rule that a plan breaks, None if it may be carried out.

        Args:
            plan: every germination names its seed and its blueprint.
            decision: where the plan comes from; it has passed `review`.
            observation: of this epoch, its slots as they stand now: plans of the epoch that were
                carried out before this one are in it, as they are in `usage`.
            usage: what the network takes now.
            kernels: what each kernel takes that the plan germinates, and each that it culls, by
                seed and blueprint.
        """
        review = PlanReview(
            plan=plan,
            decision=decision,
            observation=observation,
            usage=usage,
            kernels=kernels,
            limits=self,
        )
        for name, rule in PLAN_RULES.items():
            reason = rule(review)
            if reason is not None:
                return Refusal(rule=name, reason=reason, decision=decision, plan=plan)
        return None


def _first_broken(review: Review) -> Refusal | None:
    """Return the refusal by the first rule that the decision breaks, None if it keeps all."""
    asked = FORM if review.decision.kind is DecisionKind.WAIT else RULES
    for name, rule in asked.items():
        reason = rule(review)
        if reason is not None:
            return Refusal(rule=name, reason=reason, decision=review.decision)
    return None


def _require(valid: bool, key: str, rule: str, value: object) -> None:
    if not valid:
        raise ValueError(f"safety.{key} must be {rule}, got {value}")
