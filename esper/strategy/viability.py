"""Which seeds of a slot may be germinated now, and why the others may not."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from esper.contracts.plan import Action, Plan
from esper.contracts.slot import SeedState, SlotState
from esper.contracts.stage import SeedStage

MEMORY_SHARE = 0.8
"""Share of the memory budget that a prediction may reach."""

_DORMANT = SeedStage.DORMANT


@dataclass(frozen=True)
class Viability:
    """Limits that come before any strategy.

    min_dormant_epochs: epochs that a seed rests after its last use; a seed never used is rested.
    max_concurrent_seeds: live seeds a slot.
    fallback_to_zero: takes seed 0 before its rest is over when no seed is viable.
    memory_budget_mb: of which predictions may reach 80 %; None sets no limit.
    """

    min_dormant_epochs: int = 5
    max_concurrent_seeds: int = 2
    fallback_to_zero: bool = True
    memory_budget_mb: float | None = None

    def __post_init__(self) -> None:
        if not self.min_dormant_epochs >= 0:
            raise ValueError(
                f"viability.min_dormant_epochs must be >= 0, got {self.min_dormant_epochs}"
            )
        if not self.max_concurrent_seeds >= 1:
            raise ValueError(
                f"viability.max_concurrent_seeds must be >= 1, got {self.max_concurrent_seeds}"
            )
        if self.memory_budget_mb is not None and not 0 < self.memory_budget_mb < math.inf:
            raise ValueError(
                "viability.memory_budget_mb must be > 0 and finite, or null, "
                f"got {self.memory_budget_mb}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionInputs:
    """What choosing a seed needs to know besides the plan.

    barred: blueprints that must not be offered.
    urgency: of the decision, in [0, 1].
    first_order: first-order score at birth by seed, as far as measured.
    memory_mb: memory that a seed's kernel would add, by seed; read only under a budget.
    memory_used_mb: memory of the network as it stands.
    """

    state: SlotState
    epoch: int
    barred: tuple[str, ...] = ()
    urgency: float = 0.0
    first_order: Mapping[int, float] = field(default_factory=dict)
    memory_mb: Mapping[int, float] = field(default_factory=dict)
    memory_used_mb: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a plan has taken of its slot so far, and what it gives back.

    seeds, blueprints: that the plan names, and those chosen for it so far.
    leaving: live seeds that the plan culls or fossilizes.
    """

    seeds: tuple[int, ...] = ()
    blueprints: tuple[str, ...] = ()
    leaving: tuple[int, ...] = ()
    exceeds_concurrency: bool = False

    @classmethod
    def of(cls, plan: Plan) -> "Taken":
        """Return what `plan` itself names."""
        seeds: list[int] = []
        blueprints: list[str] = []
        leaving: list[int] = []
        for change in plan.changes:
            if change.action is Action.GERMINATE:
                seeds += [] if change.seed is None else [change.seed]
                blueprints += [] if change.blueprint is None else [change.blueprint]
            elif change.action in (Action.CULL, Action.FOSSILIZE) and change.seed is not None:
                leaving.append(change.seed)
        return cls(
            seeds=tuple(seeds),
            blueprints=tuple(blueprints),
            leaving=tuple(leaving),
            exceeds_concurrency=plan.exceeds_concurrency,
        )

    def plus(self, seed: int, blueprint: str) -> "Taken":
        """Return the booking with one more germination."""
        return Taken(
            seeds=(*self.seeds, seed),
            blueprints=(*self.blueprints, blueprint),
            leaving=self.leaving,
            exceeds_concurrency=self.exceeds_concurrency,
        )


def viable(
    options: Viability, inputs: SelectionInputs, booking: Taken, *, rested: bool = True
) -> tuple[list[int], dict[int, str]]:
    """Return the seeds that may be germinated now, and for every other one the reason why not.

    Args:
        booking: what the plan at hand has taken so far.
        rested: False leaves out the rest since the last use, for the fallback.
    """
    full = _full(options, inputs.state, booking)
    seeds: list[int] = []
    refused: dict[int, str] = {}
    for seed in inputs.state.seeds:
        reason = _standing(seed, booking) or full
        if reason is None and rested:
            reason = _rest(options, inputs.epoch, seed)
        if reason is None and options.memory_budget_mb is not None:
            reason = _memory(options.memory_budget_mb, inputs, booking, seed.seed)
        if reason is None:
            seeds.append(seed.seed)
        else:
            refused[seed.seed] = reason
    return seeds, refused


def _full(options: Viability, state: SlotState, booking: Taken) -> str | None:
    if booking.exceeds_concurrency:
        return None
    taken = {seed.seed for seed in state.seeds if seed.stage is not _DORMANT and seed.is_live}
    count = len(taken.difference(booking.leaving).union(booking.seeds))
    if count < options.max_concurrent_seeds:
        return None
    return f"{count} of {options.max_concurrent_seeds} live seeds taken"


def _standing(seed: SeedState, booking: Taken) -> str | None:
    if seed.stage is not _DORMANT:
        return f"is {seed.stage}"
    if seed.seed in booking.seeds:
        return "is in this plan already"
    return None


def _rest(options: Viability, epoch: int, seed: SeedState) -> str | None:
    if seed.last_used_epoch is None:
        return None
    until = seed.last_used_epoch + options.min_dormant_epochs
    return f"rests until epoch {until}" if epoch < until else None


def _memory(budget_mb: float, inputs: SelectionInputs, booking: Taken, seed: int) -> str | None:
    wanted = inputs.memory_mb.get(seed)
    if wanted is None:
        return "its memory is not known"
    booked = sum(inputs.memory_mb.get(other, 0.0) for other in booking.seeds)
    predicted = inputs.memory_used_mb + booked + wanted
    limit = MEMORY_SHARE * budget_mb
    return f"needs {predicted:.4g} MB of {limit:.4g} MB" if not predicted <= limit else None
