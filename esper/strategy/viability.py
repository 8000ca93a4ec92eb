"""Limits on which seeds of a slot may germinate now."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from esper.contracts.checks import require
from esper.contracts.plan import Action, Plan
from esper.contracts.slot import SeedState, SlotState
from esper.contracts.stage import SeedStage

CONCURRENT = 3
"""Usual number of live seeds a slot."""

MEMORY_SHARE = 0.8
"""Share of the memory budget that a prediction may reach."""


@dataclass(frozen=True)
class Viability:
    """Limits that apply before any strategy.

    min_dormant_epochs: epochs that a seed rests after its last use; a seed never used is rested.
    max_concurrent_seeds: live seeds a slot; None for 3.
    """

    min_dormant_epochs: int = 5
    max_concurrent_seeds: int | None = None

    def __post_init__(self) -> None:
        rest, most = self.min_dormant_epochs, self.max_concurrent_seeds
        require(rest >= 0, "viability.min_dormant_epochs", ">= 0", rest)
        valid = most is None or most >= 1
        require(valid, "viability.max_concurrent_seeds", ">= 1 or null", most)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionInputs:
    """Input of a selection besides the plan.

    barred: blueprints that must not be offered.
    urgency: of the decision, in [0, 1].
    first_order: measured first-order scores at germination, by seed.
    context: what the run is like now, as `LedgerEntry.context`; () when unknown.
    contexts: of germinations, by blueprint; that of one that is missing is `context`.
    memory_mb: memory that a seed's kernel would add, by seed; read only under a budget.
    memory_used_mb: memory of the network now.
    flops: forward FLOPs a sample of a seed's kernel, by seed; one that is missing costs nothing.
    affordable_flops: most forward FLOPs a sample of all kernels of the plan, by their number from
        1; the last value holds for more.
    memory_budget_mb: `safety.memory_budget_mb`, of which 80 % may be used; None sets no limit.
    """

    state: SlotState
    epoch: int
    barred: tuple[str, ...] = ()
    urgency: float = 0.0
    first_order: Mapping[int, float] = field(default_factory=dict)
    memory_mb: Mapping[int, float] = field(default_factory=dict)
    memory_used_mb: float = 0.0
    memory_budget_mb: float | None = None
    flops: Mapping[int, float] = field(default_factory=dict)
    affordable_flops: tuple[float, ...] = (math.inf,)
    context: tuple[float, ...] = ()
    contexts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def context_of(self, blueprint: str) -> tuple[float, ...]:
        """Return the context of a germination."""
        return self.contexts.get(blueprint, self.context)


def viable(
    options: Viability, inputs: SelectionInputs, plan: Plan
) -> tuple[list[int], dict[int, str]]:
    """Return the seeds that may germinate now, and the reason for every other seed.

    Args:
        options: the limits.
        inputs: the slot and its memory.
        plan: the plan so far; the seeds that its germinations name are taken.
    """
    taken = {
        change.seed
        for change in plan.changes
        if change.action is Action.GERMINATE and change.seed is not None
    }
    full = None if plan.exceeds_concurrency else _full(options, inputs.state, plan, taken)
    planned = sum(inputs.flops.get(each, 0.0) for each in taken)
    limits = inputs.affordable_flops
    most = limits[min(len(taken), len(limits) - 1)]
    seeds: list[int] = []
    refused: dict[int, str] = {}
    for seed in inputs.state.seeds:
        reason = (
            _standing(seed, taken)
            or full
            or _rest(options, inputs.epoch, seed)
            or _memory(inputs, taken, seed.seed)
            or _cost(inputs.flops.get(seed.seed, 0.0), planned, most, limits[0])
        )
        if reason is None:
            seeds.append(seed.seed)
        else:
            refused[seed.seed] = reason
    return seeds, refused


def leaving(plan: Plan) -> set[int | None]:
    """Return the live seeds that a plan culls or fossilizes."""
    return {c.seed for c in plan.changes if c.action in (Action.CULL, Action.FOSSILIZE)}


def _full(options: Viability, state: SlotState, plan: Plan, taken: set[int]) -> str | None:
    count = len({seed.seed for seed in state.live} - leaving(plan) | taken)
    most = CONCURRENT if options.max_concurrent_seeds is None else options.max_concurrent_seeds
    return None if count < most else f"{count} of {most} live seeds taken"


def _standing(seed: SeedState, taken: set[int]) -> str | None:
    if seed.stage is not SeedStage.DORMANT:
        return f"is {seed.stage}"
    return "is in this plan already" if seed.seed in taken else None


def _rest(options: Viability, epoch: int, seed: SeedState) -> str | None:
    if seed.last_used_epoch is None:
        return None
    until = seed.last_used_epoch + options.min_dormant_epochs
    return f"rests until epoch {until}" if epoch < until else None


def _cost(own: float, planned: float, most: float, most_alone: float) -> str | None:
    if own + planned > most:
        return f"would make {own + planned:.4g} FLOPs of the {most:.4g} that may be added"
    if own > most_alone:
        return f"takes {own:.4g} FLOPs of the {most_alone:.4g} that a kernel may"
    return None


def _memory(inputs: SelectionInputs, taken: set[int], seed: int) -> str | None:
    if inputs.memory_budget_mb is None:
        return None
    if seed not in inputs.memory_mb:
        return "its memory is not known"
    planned = sum(inputs.memory_mb.get(other, 0.0) for other in taken)
    predicted = inputs.memory_used_mb + planned + inputs.memory_mb[seed]
    limit = MEMORY_SHARE * inputs.memory_budget_mb
    return f"needs {predicted:.4g} MB of {limit:.4g} MB" if not predicted <= limit else None
