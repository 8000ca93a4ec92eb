"""What rules of safety look at: a decision or a plan beside the network and its limits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.plan import Action, KernelCost, Plan
from esper.contracts.slot import SeedState, SlotState
from esper.safety.options import Safety

KernelCosts = Mapping[tuple[int, str], KernelCost]
"""Exact costs of kernels of one slot, by seed and blueprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the network takes now.

    memory_mb: None if it was not measured.
    changed_seeds: number of seeds that plans have changed in this epoch so far.
    """

    parameters: int
    memory_mb: float | None = None
    changed_seeds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionReview:
    """One decision and what it is judged by.

    accepted: the decisions of this epoch that have passed already.
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
    def slot(self) -> SlotState:
        """The slot that the decision names."""
        assert self.decision.slot is not None, "slot_exists comes first"
        return self.observation.slot(self.decision.slot)

    @property
    def seed(self) -> SeedState:
        """The seed that the decision judges."""
        return next(seed for seed in self.slot.seeds if seed.seed == self.decision.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReview:
    """One plan, its seeds chosen and its kernels built, and what it is judged by.

    decision: what the plan was made for; it has passed its own review.
    observation: of this epoch, with the slots as earlier plans of the epoch have left them.
    kernels: costs of the slot's kernels that the plan germinates or culls.
    """

    plan: Plan
    decision: Decision
    observation: Observation
    usage: Usage
    kernels: KernelCosts
    limits: Safety

    @property
    def slot(self) -> SlotState:
        """The slot that the plan changes."""
        return self.observation.slot(self.plan.slot)

    @property
    def only_culls(self) -> bool:
        """True if every change is a cull."""
        return all(change.action is Action.CULL for change in self.plan.changes)

    @property
    def germinated(self) -> list[tuple[int, str]]:
        """Seed and blueprint of each kernel that the plan adds."""
        return [
            (change.seed, change.blueprint)
            for change in self.plan.changes
            if change.action is Action.GERMINATE
            and change.seed is not None
            and change.blueprint is not None
        ]

    def seeds(self, *actions: Action) -> list[SeedState]:
        """Return the seeds to which the plan does one of `actions`."""
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
    """Return why so much more memory exceeds the budget, None if it does not.

    Memory that was not measured exceeds every budget.
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


def excess(limits: Safety, usage: Usage, cost: KernelCost) -> str | None:
    """Return which budget one more kernel exceeds, None if it fits."""
    too_many = parameters_over(limits, usage, cost.parameters)
    return too_many or memory_over(limits, usage, cost.memory_mb)
