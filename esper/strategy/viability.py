"""Which seeds of a slot may be germinated now, and why the others may not."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from esper.contracts.checks import require
from esper.contracts.plan import Action, Plan
from esper.contracts.slot import SeedState, SlotState
from esper.contracts.stage import SeedStage

MEMORY_SHARE = 0.8
"""Share of the memory budget that a prediction may reach."""

_DORMANT = SeedStage.DORMANT


@dataclass(frozen=True)
class Viability:
    """Limits that apply before any strategy.

    min_dormant_epochs: epochs that a seed rests after its last use; a seed never used is rested.
    max_concurrent_seeds: live seeds a slot.
    fallback_to_zero: takes seed 0 before its rest is over when no seed is viable.
    """

    min_dormant_epochs: int = 5
    max_concurrent_seeds: int = 2
    fallback_to_zero: bool = True

    def __post_init__(self) -> None:
        rest, most = self.min_dormant_epochs, self.max_concurrent_seeds
        require(rest >= 0, "viability.min_dormant_epochs", ">= 0", rest)
        require(most >= 1, "viability.max_concurrent_seeds", ">= 1", most)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionInputs:
    """What choosing a seed reads besides the plan.

    barred: blueprints that must not be offered.
    urgency: of the decision, in [0, 1].
    first_order: first-order score at birth by seed, as far as measured.
    memory_mb: memory that a seed's kernel would add, by seed; read only under a budget.
    memory_used_mb: memory of the network as it stands.
    memory_budget_mb: `safety.memory_budget_mb`, of which a prediction may reach 80 %; None sets
        no limit.
    """

    state: SlotState
    epoch: int
    barred: tuple[str, ...] = ()
    urgency: float = 0.0
    first_order: Mapping[int, float] = field(default_factory=dict)
    memory_mb: Mapping[int, float] = field(default_factory=dict)
    memory_used_mb: float = 0.0
    memory_budget_mb: float | None = None


def viable(
    options: Viability, inputs: SelectionInputs, plan: Plan, *, rested: bool = True
) -> tuple[list[int], dict[int, str]]:
    """Return the seeds that may be germinated now, and for every other one the reason why not.

    Args:
        options: the limits.
        inputs: the slot and its memory.
        plan: the plan so far; it has taken the seeds that its germinations name.
        rested: False ignores the rest since the last use, for the fallback.
    """
    taken = {
        change.seed
        for change in plan.changes
        if change.action is Action.GERMINATE and change.seed is not None
    }
    full = None if plan.exceeds_concurrency else _full(options, inputs.state, plan, taken)
    seeds: list[int] = []
    refused: dict[int, str] = {}
    for seed in inputs.state.seeds:
        reason = _standing(seed, taken) or full
        if reason is None and rested:
            reason = _rest(options, inputs.epoch, seed)
        if reason is None and inputs.memory_budget_mb is not None:
            reason = _memory(inputs.memory_budget_mb, inputs, taken, seed.seed)
        if reason is None:
            seeds.append(seed.seed)
        else:
            refused[seed.seed] = reason
    return seeds, refused


def leaving(plan: Plan) -> set[int | None]:
    """Return the live seeds that a plan culls or fossilizes."""
    return {c.seed for c in plan.changes if c.action in (Action.CULL, Action.FOSSILIZE)}


def _full(options: Viability, state: SlotState, plan: Plan, taken: set[int]) -> str | None:
    live = {seed.seed for seed in state.seeds if seed.stage is not _DORMANT and seed.is_live}
    count = len(live - leaving(plan) | taken)
    if count < options.max_concurrent_seeds:
        return None
    return f"{count} of {options.max_concurrent_seeds} live seeds taken"


def _standing(seed: SeedState, taken: set[int]) -> str | None:
    if seed.stage is not _DORMANT:
        return f"is {seed.stage}"
    return "is in this plan already" if seed.seed in taken else None


def _rest(options: Viability, epoch: int, seed: SeedState) -> str | None:
    if seed.last_used_epoch is None:
        return None
    until = seed.last_used_epoch + options.min_dormant_epochs
    return f"rests until epoch {until}" if epoch < until else None


def _memory(budget_mb: float, inputs: SelectionInputs, taken: set[int], seed: int) -> str | None:
    wanted = inputs.memory_mb.get(seed)
    if wanted is None:
        return "its memory is not known"
    planned = sum(inputs.memory_mb.get(other, 0.0) for other in taken)
    predicted = inputs.memory_used_mb + planned + wanted
    limit = MEMORY_SHARE * budget_mb
    return f"needs {predicted:.4g} MB of {limit:.4g} MB" if not predicted <= limit else None
