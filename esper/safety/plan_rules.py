"""Rules that a plan with chosen seeds and built kernels must pass before it is applied.

A rule returns why it refuses a plan, or None.  `PLAN_RULES` is the order of evaluation; each rule
relies on those before it, and on the rules that the decision has passed.  Culled kernels make room
for new ones, and a plan that only culls is within every limit.
"""

import math
from collections.abc import Callable

from esper.contracts.decision import DecisionKind
from esper.contracts.plan import TARGET_STAGE, Action
from esper.contracts.stage import ALLOWED_MOVES, LIVE, RETARGETABLE, SeedStage
from esper.safety.context import PlanReview, cost_over, is_share, memory_over, parameters_over

_VERDICTS = {DecisionKind.FOSSILIZE: Action.FOSSILIZE, DecisionKind.CULL: Action.CULL}
_ADAPTING = (Action.GERMINATE, Action.RETARGET, Action.CULL)
_REPLACE = [Action.CULL, Action.GERMINATE]


def as_decided(review: PlanReview) -> str | None:
    """Refuse a slot, seed or action that the decision did not ask for."""
    plan, decision = review.plan, review.decision
    if plan.slot != decision.slot:
        return f"the decision is on slot {decision.slot!r}, the plan on '{plan.slot}'"
    verdict = _VERDICTS.get(decision.kind)
    for change in plan.changes:
        if verdict is not None:
            fits = change.action is verdict and change.seed == decision.seed
        else:
            known = isinstance(change.action, Action) and change.action in _ADAPTING
            # A seed is named to be replaced, not to blend again.
            is_replacing = change.seed == decision.seed and change.action is not Action.RETARGET
            is_named = decision.seed is None or is_replacing
            fits = known and is_named and decision.kind is DecisionKind.ADAPT
        if not fits:
            return f"{change.action!s} of seed {change.seed} is not what {decision.kind} asks for"
    return None


def blueprint(review: PlanReview) -> str | None:
    """Refuse a germination whose blueprint is missing, not on offer in the slot, or barred."""
    offered = set(review.slot.spec.catalogue) - set(review.decision.barred)
    for change in review.plan.changes:
        if change.action is Action.GERMINATE and change.blueprint not in offered:
            return f"blueprint {change.blueprint!r} is not on offer in slot '{review.plan.slot}'"
    return None


def alpha_target(review: PlanReview) -> str | None:
    """Refuse an alpha target outside of (0, 1], NaN included."""
    for change in review.plan.changes:
        alpha = change.alpha_target
        is_valid = is_share(alpha) and alpha > 0
        if change.action in (Action.GERMINATE, Action.RETARGET) and not is_valid:
            return f"alpha target {alpha!r} of seed {change.seed} is not in (0, 1]"
    return None


def one_change_a_seed(review: PlanReview) -> str | None:
    """Refuse two changes of a seed, except a cull without rest followed by a germination."""
    for seed in review.slot.seeds:
        changes = [change for change in review.plan.changes if change.seed == seed.seed]
        actions = [change.action for change in changes]
        if len(changes) > 1 and (actions != _REPLACE or changes[0].rests):
            return f"seed {seed.seed} is changed {len(changes)} times: {', '.join(actions)}"
    return None


def lifecycle(review: PlanReview) -> str | None:
    """Refuse to change a seed that does not exist or whose stage does not allow the change."""
    stages = {seed.seed: seed.stage for seed in review.slot.seeds}
    for change in review.plan.changes:
        if type(change.seed) is not int or change.seed not in stages:
            return f"slot '{review.plan.slot}' has no seed {change.seed!r}"
        stage, target = stages[change.seed], TARGET_STAGE[change.action]
        retargets = change.action is Action.RETARGET
        if target not in ALLOWED_MOVES[stage] or (retargets and stage not in RETARGETABLE):
            return f"seed {change.seed} of '{review.plan.slot}' cannot move {stage} -> {target}"
        if change.action is Action.CULL and not change.rests:
            stages[change.seed] = SeedStage.DORMANT
    return None


def max_live_seeds(review: PlanReview) -> str | None:
    """Refuse a plan after which the network has too many live seeds."""
    most, live = review.limits.max_live_seeds, len(review.observation.live_seeds)
    leaving = [seed for seed in review.seeds(Action.CULL, Action.FOSSILIZE) if seed.stage in LIVE]
    more = len(review.plan.germinations) - len(leaving)
    if most is None or more <= 0 or live + more <= most:
        return None
    return f"{live} live seeds, {live + more} afterwards (at most {most})"


def max_risk(review: PlanReview) -> str | None:
    """Refuse a plan that germinates too risky a blueprint."""
    risk, most = review.plan.risk, review.limits.max_risk
    if review.plan.germinations and risk > most:
        return f"risk {risk:.4g} > {most:g}"
    return None


def blending_again(review: PlanReview) -> str | None:
    """Refuse another alpha target if no look follows in time, or its trial costs too much."""
    if not review.seeds(Action.RETARGET):
        return None
    if not review.usage.blends_in_time:
        return f"epoch {review.observation.epoch} is too late: no look would follow in time"
    return None if review.usage.blends_in_room else "safety.max_cost pays for no further look"


def max_events(review: PlanReview) -> str | None:
    """Refuse germinations once the run has had as many growth events as it may have."""
    if review.usage.events_left != 0 or not review.plan.germinations:
        return None
    return f"no growth event is left (at most {review.limits.max_events})"


def max_changes_per_epoch(review: PlanReview) -> str | None:
    """Refuse a plan that exceeds the seeds changed in an epoch."""
    most, done = review.limits.max_changes_per_epoch, review.usage.changed_seeds
    after = done + review.plan.num_seeds
    if review.only_culls or after <= most:
        return None
    return f"{done} seeds were changed this epoch, {after} with this plan (at most {most})"


def kernel_costs(review: PlanReview) -> str | None:
    """Refuse to germinate a kernel of unknown cost if there is a budget."""
    limits, usage = review.limits, review.usage
    is_free = limits.parameter_budget is None and limits.memory_budget_mb is None
    if is_free and usage.affordable_flops == math.inf:
        return None
    for seed, name in review.plan.germinations:
        if (seed, name) not in review.kernels:
            return f"kernel '{name}' of seed {seed} was not measured"
    return None


def parameter_budget(review: PlanReview) -> str | None:
    """Refuse a plan after which the network exceeds its parameter budget."""
    germinations = review.plan.germinations
    if review.limits.parameter_budget is None or not germinations:
        return None
    added = sum(review.kernels[key].parameters for key in germinations)
    culled = sum(seed.parameters for seed in review.seeds(Action.CULL))
    return parameters_over(review.limits, review.usage, added - culled)


def memory_budget(review: PlanReview) -> str | None:
    """Refuse a plan after which the network exceeds its memory budget.

    A culled kernel of unknown memory makes no room.
    """
    germinations = review.plan.germinations
    if review.limits.memory_budget_mb is None or not germinations:
        return None
    added = sum(review.kernels[key].memory_mb for key in germinations)
    leaving = [(seed.seed, seed.bound) for seed in review.seeds(Action.CULL)]
    culled = sum(review.kernels[key].memory_mb for key in leaving if key in review.kernels)
    return memory_over(review.limits, review.usage, added - culled)


def max_cost(review: PlanReview) -> str | None:
    """Refuse germinations whose trial would cost more than the run may."""
    germinations = review.plan.germinations
    if not germinations:
        return None
    flops = sum(review.kernels[key].flops for key in germinations)
    return cost_over(review.limits, review.usage, flops)


PlanRule = Callable[[PlanReview], str | None]

PLAN_RULES: tuple[PlanRule, ...] = (
    as_decided,
    blueprint,
    alpha_target,
    one_change_a_seed,
    lifecycle,
    max_risk,
    blending_again,
    max_live_seeds,
    max_events,
    max_changes_per_epoch,
    kernel_costs,
    parameter_budget,
    memory_budget,
    max_cost,
)
"""The rules on plans, in the order of evaluation."""
