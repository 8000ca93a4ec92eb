"""What safety looks at: a decision, or the plan it has become, beside the run and its limits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.plan import Action, KernelCost, Plan
from esper.contracts.slot import SeedState, SlotState

if TYPE_CHECKING:
    from esper.safety.review import Safety

KernelCosts = Mapping[tuple[int, str], KernelCost]
"""Exact costs of kernels of one slot, by seed and blueprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the network takes now, and what else is known before a plan is made.

    memory_mb: None when it was not measured.
    least: at the least what another kernel takes, by slot; nothing where it is not known.
    changed_seeds: how many seeds plans have changed in this epoch so far.
    """

    parameters: int
    memory_mb: float | None = None
    least: Mapping[str, KernelCost] = field(default_factory=dict)
    changed_seeds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One decision beside everything that it is judged by.

    accepted: the decisions of this epoch that have passed already.
    """

    decision: Decision
    observation: Observation
    usage: Usage
    limits: "Safety"
    accepted: tuple[Decision, ...]

    @property
    def is_adaptation(self) -> bool:
        """True when a slot is to be adapted, not a seed judged."""
        return self.decision.kind is DecisionKind.ADAPT

    @property
    def slot(self) -> SlotState:
        """The slot that the decision names."""
        assert self.decision.slot is not None, "slot_exists comes first"
        return self.observation.slot(self.decision.slot)

    @property
    def seed(self) -> SeedState | None:
        """The seed that the decision names, None if the slot has no such seed."""
        index = self.decision.seed
        return next((seed for seed in self.slot.seeds if seed.seed == index), None)

    @property
    def least(self) -> KernelCost:
        """At the least what another kernel in the slot takes."""
        assert self.decision.slot is not None, "slot_exists comes first"
        return self.usage.least.get(self.decision.slot, KernelCost())

    @property
    def may_leave(self) -> list[SeedState]:
        """The live seeds that may be live no longer once this decision is carried out.

        An adaptation may take any of its slot; plans are only made once all have been reviewed.
        """
        decisions = (*self.accepted, self.decision)
        slots = {each.slot for each in decisions if each.kind is DecisionKind.ADAPT}
        judged = {(each.slot, each.seed) for each in decisions}
        return [
            seed
            for seed in self.observation.live_seeds
            if seed.slot in slots or (seed.slot, seed.seed) in judged
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReview:
    """One plan, its seeds chosen and its kernels built, beside everything that it is judged by.

    observation: of this epoch, its slots as the plans before this one have left them.
    kernels: of the slot; each that the plan germinates, and each that it culls.
    """

    plan: Plan
    decision: Decision
    observation: Observation
    usage: Usage
    kernels: KernelCosts
    limits: "Safety"

    @property
    def slot(self) -> SlotState:
        """The slot that the plan changes."""
        return self.observation.slot(self.plan.slot)

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


if TYPE_CHECKING:
    from esper.safety.review import Safety


def parameters_over(limits: "Safety", usage: Usage, more: int, how: str = "") -> str | None:
    """Return why so many more parameters are too many, None if they are not.

    `how` says how sure `more` is, as in "at least ".
    """
    budget, after = limits.parameter_budget, usage.parameters + more
    if budget is None or more <= 0 or after <= budget:
        return None
    return f"{usage.parameters} parameters, {how}{after} afterwards (budget {budget})"


def memory_over(limits: "Safety", usage: Usage, more: float, how: str = "") -> str | None:
    """Return why so much more memory is too much, or that it is not known; None if neither."""
    budget = limits.memory_budget_mb
    if budget is None:
        return None
    if usage.memory_mb is None or not math.isfinite(usage.memory_mb):
        return "memory was not measured"
    after = usage.memory_mb + more
    if more <= 0 or after <= budget:
        return None
    return f"{usage.memory_mb:.4g} MB, {how}{after:.4g} MB afterwards (budget {budget:g})"


def excess(limits: "Safety", usage: Usage, cost: KernelCost) -> str | None:
    """Return why one more kernel is more than a budget holds, None if it fits."""
    too_many = parameters_over(limits, usage, cost.parameters)
    return too_many or memory_over(limits, usage, cost.memory_mb)
