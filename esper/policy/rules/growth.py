"""Find the slots that can grow this epoch, and request growth in one of them.

Policies differ in when they grow and in how they choose a slot; the rest is shared.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.checks import require
from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.slot import SlotState
from esper.contracts.stage import SeedStage
from esper.policy.base import Rules, wait

ADDING = (Adaptation.ADD_NEURONS, Adaptation.ADD_LAYER)
"""The adaptations that grow a slot without a live seed."""
WIDEN = Adaptation.WIDEN
"""The adaptation that grows the whole host."""

AUTO = "auto"
"""The word of `policy.adaptation` for a choice by the state of the slot."""

_NAMED = 3
"""Number of closed slots that a reason names, so that it stays short with hundreds of slots."""


@dataclass(frozen=True, kw_only=True)
class GrowthLimits(Rules):
    """Where and until when a policy may grow; the fields are keys of `policy`.

    embargo_epochs_after_cull: epochs after a cull in which no seed of the slot germinates.
    max_live_seeds_per_slot: no further seed germinates in a slot with this many live seeds.
    grow_until: share of the budget in which seeds germinate, in [0, 1].
    """

    embargo_epochs_after_cull: int = 5
    max_live_seeds_per_slot: int = 2
    grow_until: float = 0.6

    def __post_init__(self) -> None:
        embargo, live = self.embargo_epochs_after_cull, self.max_live_seeds_per_slot
        require(embargo >= 0, "policy.embargo_epochs_after_cull", ">= 0", embargo)
        require(live >= 1, "policy.max_live_seeds_per_slot", ">= 1", live)
        share = self.grow_until
        require(0 <= share <= 1, "policy.grow_until", "in [0, 1]", share)
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class GrowthRules(GrowthLimits):
    """Where a policy may grow and what it requests; the fields are keys of `policy`.

    adaptation, seeds_per_adaptation: the requested adaptation, one of `words`, and number of seeds;
        None leaves the number to the orchestrator.
    """

    words: ClassVar[tuple[str, ...]] = (*ADDING, WIDEN)

    adaptation: str = "add_neurons"
    seeds_per_adaptation: int | None = 3

    def __post_init__(self) -> None:
        word, number = self.adaptation, self.seeds_per_adaptation
        require(word in self.words, "policy.adaptation", f"one of {', '.join(self.words)}", word)
        valid = number is None or number >= 1
        require(valid, "policy.seeds_per_adaptation", ">= 1 or null", number)
        super().__post_init__()

    @property
    def addition(self) -> Adaptation:
        """The adaptation that grows a slot, by neurons unless `adaptation` names the other."""
        is_layer = self.adaptation == Adaptation.ADD_LAYER
        return Adaptation.ADD_LAYER if is_layer else Adaptation.ADD_NEURONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """Whether it is time to grow, with the numbers behind it as the reason."""

    fires: bool
    reason: str


def obstacle(observation: Observation, rules: GrowthLimits) -> str | None:
    """Return why the network must not grow this epoch, None if it may."""
    epoch, epochs = observation.epoch, observation.epochs
    if not observation.may_grow:
        return f"epoch {epoch} of {epochs} leaves no time for a trial"
    if epoch > last_epoch(rules, epochs):
        return f"epoch {epoch} of {epochs} is past policy.grow_until={rules.grow_until:g}"
    if observation.affordable_flops <= 0:
        return "another trial would cost more than safety.max_cost allows"
    if observation.events_left == 0:
        return "safety.max_events allows no further growth event"
    if not math.isfinite(observation.metrics.val_loss):
        return f"validation loss is {observation.metrics.val_loss}"
    return None


def last_epoch(rules: GrowthLimits, epochs: int) -> int:
    """Return the last epoch after which the rules allow a germination."""
    # Rounded, because 0.29 * 100 is slightly below 29 in binary.
    return math.floor(round(rules.grow_until * epochs, 9))


def growable_slots(
    observation: Observation, rules: GrowthLimits, decisions: list[Decision]
) -> tuple[list[SlotState], str]:
    """Return the slots that can grow, in order, and why the others cannot.

    Args:
        observation: the current state of the run.
        rules: the embargo and the limit of live seeds.
        decisions: verdicts of this epoch; slots that they change cannot grow.
    """
    changed = {each.slot for each in decisions if each.kind is not DecisionKind.WAIT}
    slots: list[SlotState] = []
    closed: list[str] = []
    for slot in observation.slots:
        why = _why_closed(slot, observation.epoch, rules)
        if why is None and slot.least_flops > observation.affordable_flops:
            why = "has no kernel that safety.max_cost can pay"
        if slot.spec.name in changed:
            why = "changes this epoch"
        if why is None:
            slots.append(slot)
        else:
            closed.append(f"'{slot.spec.name}' {why}")
    more = f"; and {len(closed) - _NAMED} more" if len(closed) > _NAMED else ""
    return slots, "; ".join(closed[:_NAMED]) + more


def request_growth(
    observation: Observation,
    trigger: Trigger,
    rules: GrowthRules,
    decisions: list[Decision],
    choose: Callable[[list[SlotState]], SlotState],
) -> Decision:
    """Return a request to grow the slot that `choose` selects, or to wait, with the reason."""
    reason = obstacle(observation, rules)
    if reason is not None:
        return wait(reason)
    if not trigger.fires:
        return wait(trigger.reason)
    if rules.adaptation == WIDEN:
        return Decision(kind=DecisionKind.ADAPT, adaptation=WIDEN, reason=trigger.reason)
    slots, closed = growable_slots(observation, rules, decisions)
    if not slots:
        return wait(f"{trigger.reason}, but no slot can grow: {closed}")
    slot, wanted = choose(slots), rules.seeds_per_adaptation
    return Decision(
        kind=DecisionKind.ADAPT,
        slot=slot.spec.name,
        adaptation=rules.addition,
        num_seeds=None if wanted is None else min(wanted, len(slot.seeds)),
        reason=trigger.reason,
    )


def combine(verdicts: list[Decision], request: Decision) -> list[Decision]:
    """Return the decisions of an epoch; a request to wait is dropped if there is a verdict."""
    if verdicts and request.kind is DecisionKind.WAIT:
        return verdicts
    return [*verdicts, request]


def germinations(slot: SlotState) -> int:
    """Return the number of germinations of the slot's seeds so far."""
    return sum(seed.activations for seed in slot.seeds)


def _why_closed(slot: SlotState, epoch: int, rules: GrowthLimits) -> str | None:
    if epoch < slot.rests_until:
        return f"rests until epoch {slot.rests_until}"
    culled, embargo = slot.last_cull_epoch, rules.embargo_epochs_after_cull
    if culled is not None and epoch - culled < embargo:
        return f"is within {embargo} epochs of its cull at epoch {culled}"
    if len(slot.live) >= rules.max_live_seeds_per_slot:
        return f"has {len(slot.live)} live seeds (at most {rules.max_live_seeds_per_slot})"
    if not any(seed.stage is SeedStage.DORMANT for seed in slot.seeds):
        return "has no dormant seed"
    return None
