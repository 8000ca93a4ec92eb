"""A policy's decision, and its refusal by safety."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from esper.contracts.event import EventKind
from esper.contracts.plan import Plan


class DecisionKind(StrEnum):
    """The kinds of request."""

    WAIT = "wait"
    ADAPT = "adapt"
    FOSSILIZE = "fossilize"
    CULL = "cull"


class Adaptation(StrEnum):
    """The kinds of change that a decision can request."""

    ADD_NEURONS = "add_neurons"
    REMOVE_NEURONS = "remove_neurons"
    ADD_LAYER = "add_layer"
    REPLACE = "replace"
    WIDEN = "widen"


SLOT_CHANGES = tuple(each for each in Adaptation if each is not Adaptation.WIDEN)
"""The kinds of change of a slot; the other is of the whole host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One request of a policy.

    slot: name of the slot; None when waiting, and to widen the whole host.
    seed: index of the seed to fossilize, cull or replace; None for any other adaptation, and where
        the orchestrator finds the seed to replace.
    num_seeds: number of seeds for an adaptation; None leaves it to the orchestrator.
    confidence: probability in [0, 1] that what it expects is true.
    urgency, risk: each in [0, 1].
    uncertainty: epistemic uncertainty of a learned policy in [0, 1], None when it has none.
    learned: True when a learned policy decided.
    barred: blueprints that the strategy must not offer for this decision.
    """

    event_kind: ClassVar[EventKind] = EventKind.DECISION

    kind: DecisionKind
    reason: str
    slot: str | None = None
    seed: int | None = None
    adaptation: Adaptation | None = None
    num_seeds: int | None = None
    confidence: float = 1.0
    urgency: float = 0.0
    risk: float = 0.0
    uncertainty: float | None = None
    learned: bool = False
    barred: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A decision that safety refused, and the rule that it broke.

    plan: the plan made from the decision; None when it was refused before planning.
    """

    event_kind: ClassVar[EventKind] = EventKind.SAFETY

    rule: str
    reason: str
    decision: Decision
    plan: Plan | None = None
