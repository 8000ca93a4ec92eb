"""Inputs of the safety rules: a decision or a plan, the network and its limits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.plan import Action, KernelCost, Plan
from esper.contracts.slot import SeedState, SlotState
from esper.safety.options import Safety


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Size of the network, and the changes of this epoch.

    memory_mb: in MiB, None if not measured.
    changed_seeds: number of seeds that plans have changed in this epoch so far.
    affordable_flops: most forward FLOPs a sample of kernels that may germinate now.
    events_left: growth events that the run may still have; None without a limit.
    blends_in_time, blends_in_room: whether the plan's kernels that blend again get a look in time,
        and whether `max_cost` pays for their trials until then.
    """

    parameters: int
    memory_mb: float | None = None
    changed_seeds: int = 0
    affordable_flops: float = math.inf
    events_left: int | None = None
    blends_in_time: bool = True
    blends_in_room: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionReview:
    """One decision, and everything that the rules compare it with.

    accepted: decisions of this epoch that have passed their review.
    """

    decision: Decision
    observation: Observation
    limits: Safety
    accepted: tuple[Decision, ...]

    @property
    def is_adaptation(self) -> bool:
        """True if the decision adapts a slot, False if it judges a seed."""
        return self.decision.kind is DecisionKind.ADAPT

    @property
    def is_replacement(self) -> bool:
        """True if the decision replaces a kernel."""
        return self.is_adaptation and self.decision.adaptation is Adaptation.REPLACE

    @property
    def slot(self) -> SlotState:
        """The slot that the decision names."""
        assert self.decision.slot is not None, "slot_exists comes first"
        return self.observation.slot(self.decision.slot)

    @property
    def seed(self) -> SeedState:
        """The seed that the decision names."""
        return next(seed for seed in self.slot.seeds if seed.seed == self.decision.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReview:
    """One plan with chosen seeds and built kernels, and everything that the rules compare it with.

    decision: the decision behind the plan; it has passed its own review.
    observation: of this epoch, with slots as changed by earlier plans of the epoch.
    kernels: costs of the slot's kernels that the plan germinates or culls, by seed and blueprint.
    """

    plan: Plan
    decision: Decision
    observation: Observation
    usage: Usage
    kernels: Mapping[tuple[int, str], KernelCost]
    limits: Safety

    @property
    def slot(self) -> SlotState:
        """The slot that the plan changes."""
        return self.observation.slot(self.plan.slot)

    @property
    def only_culls(self) -> bool:
        """True if every change is a cull."""
        return all(change.action is Action.CULL for change in self.plan.changes)

    def seeds(self, *actions: Action) -> list[SeedState]:
        """Return the seeds that the plan changes by one of `actions`."""
        named = {change.seed for change in self.plan.changes if change.action in actions}
        return [seed for seed in self.slot.seeds if seed.seed in named]


def is_share(value: object) -> bool:
    """Return whether a value is a number in [0, 1]; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def parameters_over(limits: Safety, usage: Usage, added: int) -> str | None:
    """Return why `added` more parameters exceed the budget, None if they do not."""
    budget, after = limits.parameter_budget, usage.parameters + added
    if budget is None or added <= 0 or after <= budget:
        return None
    return f"{usage.parameters} parameters, {after} afterwards (budget {budget})"


def memory_over(limits: Safety, usage: Usage, added_mb: float) -> str | None:
    """Return why `added_mb` more memory exceeds the budget, None if it does not.

    Unmeasured memory exceeds every budget.
    """
    budget = limits.memory_budget_mb
    if budget is None:
        return None
    if usage.memory_mb is None or not math.isfinite(usage.memory_mb):
        return "memory was not measured"
    after = usage.memory_mb + added_mb
    if added_mb <= 0 or after <= budget:
        return None
    return f"{usage.memory_mb:.4g} MB, {after:.4g} MB afterwards (budget {budget:g})"


def cost_over(limits: Safety, usage: Usage, flops: float) -> str | None:
    """Return why a trial of kernels with `flops` costs too much, None if it does not."""
    if flops <= usage.affordable_flops:
        return None
    most = "safety.max_cost" if limits.max_cost is None else f"safety.max_cost={limits.max_cost:g}"
    room = max(0.0, usage.affordable_flops)
    return f"its {flops:.4g} forward FLOPs a sample are more than the {room:.4g} that {most} leaves"


def excess(limits: Safety, usage: Usage, cost: KernelCost) -> str | None:
    """Return why one more kernel exceeds a budget, None if it does not."""
    too_many = parameters_over(limits, usage, cost.parameters)
    too_large = too_many or memory_over(limits, usage, cost.memory_mb)
    return too_large or cost_over(limits, usage, cost.flops)
