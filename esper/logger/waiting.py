"""Why a run opens no trial: the reason of each epoch, and how long it has been the same."""

from collections import Counter
from typing import Any

from esper.contracts.decision import Decision, DecisionKind, Refusal
from esper.contracts.event import Event, LifecycleMove
from esper.contracts.plan import Plan, Selection
from esper.contracts.stage import SeedStage
from esper.logger.format import plural, without_details

LONG = 6
"""Epochs without a trial for the same reason after which it is told."""


class Waiting:
    """Takes every event of a run; `end_epoch` is called after those of an epoch."""

    def __init__(self) -> None:
        self._reason: str | None = None
        self._is_plans = False
        self._has_grown = False
        self._kind, self._since, self._length = "", 0, 0
        self._told: set[str] = set()
        self._epochs: Counter[str] = Counter()
        self._latest: dict[str, str] = {}

    def take(self, event: Event) -> None:
        """Note that this epoch opens a trial, or else the first reason why it does not.

        What a plan says that nothing came of is no reason where a strategy refused its seeds.
        """
        if isinstance(event.body, LifecycleMove):
            self._has_grown |= event.body.to_stage is SeedStage.GERMINATED
        elif self._reason is None or (self._is_plans and isinstance(event.body, Selection)):
            reason = _obstacle(event.body)
            if reason is not None:
                self._reason, self._is_plans = reason, isinstance(event.body, Plan)

    def end_epoch(self, epoch: int) -> str | None:
        """Return a line at the `LONG`th epoch in a row with one reason, once for each reason."""
        reason, self._reason = self._reason, None
        has_grown, self._has_grown = self._has_grown, False
        if has_grown or reason is None:
            self._kind, self._length = "", 0
            return None
        kind = without_details(reason)
        self._epochs[kind] += 1
        self._latest[kind] = reason
        if kind != self._kind:
            self._kind, self._since, self._length = kind, epoch, 0
        self._length += 1
        if self._length != LONG or kind in self._told:
            return None
        self._told.add(kind)
        return f"~ no trial since epoch {self._since}: {reason}"

    def most(self) -> str | None:
        """Return in how many epochs there was the most frequent reason, and the last such one.

        None if no epoch had a reason.
        """
        if not self._epochs:
            return None
        [(kind, number)] = self._epochs.most_common(1)
        return f"{number} of {plural(self._epochs.total(), 'epoch')}: {self._latest[kind]}"


def _obstacle(body: Any) -> str | None:
    """Return why nothing germinates, None if the body of an event does not say that."""
    match body:
        case Decision(kind=DecisionKind.WAIT, slot=None):
            return body.reason
        case Refusal(decision=Decision(kind=DecisionKind.ADAPT)):
            return f"safety: {body.rule}: {body.reason}"
        case Selection(seed=None):
            return body.reason
        case Plan(changes=()):
            return body.reasoning
        case _:
            return None
