"""Penalise blueprints of culled seeds, so that they are not tried again too soon."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from esper.contracts.checks import require
from esper.policy.base import Rules

BARRED_EVENTS = 2
"""Growth events after its last cull for which a blueprint is not offered, at most."""


@dataclass(frozen=True, kw_only=True)
class PenaltyRules(Rules):
    """How culls penalise a blueprint; the fields are keys of `policy`.

    penalty_per_cull: added to the blueprint's penalty by a cull.
    penalty_decay: factor on all penalties per growth event.
    penalty_floor: smaller penalties become 0.
    penalty_limit: a blueprint with this penalty or more is not offered for `BARRED_EVENTS` events.
    """

    penalty_per_cull: float = 2.0
    penalty_decay: float = 0.8
    penalty_floor: float = 0.1
    penalty_limit: float = 2.5

    def __post_init__(self) -> None:
        cull, decay = self.penalty_per_cull, self.penalty_decay
        floor, limit = self.penalty_floor, self.penalty_limit
        require(0 <= cull < math.inf, "policy.penalty_per_cull", ">= 0 and finite", cull)
        require(0 <= decay < 1, "policy.penalty_decay", "in [0, 1)", decay)
        require(0 < floor < math.inf, "policy.penalty_floor", "> 0 and finite", floor)
        require(limit > floor, "policy.penalty_limit", f"> penalty_floor ({floor:g})", limit)
        super().__post_init__()


class Penalties:
    """The penalties by blueprint, 0 by default."""

    def __init__(self, rules: PenaltyRules) -> None:
        self._rules = rules
        self._values: dict[str, float] = {}
        self._culled_at: dict[str, int] = {}
        self._events = 0
        self._turn = 0

    def __getitem__(self, blueprint: str) -> float:
        return self._values.get(blueprint, 0.0)

    def advance(self, events: int) -> None:
        """Decay the penalties up to the growth event of number `events`."""
        if events <= self._events:
            return
        factor = self._rules.penalty_decay ** (events - self._events)
        self._events = events
        decayed = {name: value * factor for name, value in self._values.items()}
        floor = self._rules.penalty_floor
        self._values = {name: value for name, value in decayed.items() if value >= floor}

    def add(self, blueprint: str) -> None:
        """Penalise a blueprint for a cull."""
        self._values[blueprint] = self[blueprint] + self._rules.penalty_per_cull
        self._culled_at[blueprint] = self._events

    def barred(self, catalogue: Sequence[str], offered: Sequence[str]) -> tuple[str, ...]:
        """Return the blueprints of a slot's catalogue that the strategy must not offer.

        If all offered ones are over the limit, the least penalised is not barred; equals take turns
        (see `turn`).

        Args:
            catalogue: the slot's blueprints.
            offered: those that could be tried now.
        """
        over = tuple(name for name in catalogue if self.is_over(name))
        if not set(offered) <= set(over):
            return over
        least = min((self[name] for name in offered), default=0.0)
        equals = [name for name in dict.fromkeys(offered) if self[name] == least]
        kept = equals[self._turn % len(equals)] if equals else None
        return tuple(name for name in over if name != kept)

    def is_over(self, blueprint: str) -> bool:
        """Return whether a blueprint is not offered as long as others are."""
        since = self._events - self._culled_at.get(blueprint, 0)
        return self[blueprint] >= self._rules.penalty_limit and since < BARRED_EVENTS

    def turn(self) -> None:
        """Select the next of several least penalised blueprints in `barred`."""
        self._turn += 1

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, ready for JSON."""
        return {
            "values": dict(self._values),
            "culled_at": dict(self._culled_at),
            "events": self._events,
            "turn": self._turn,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self._values = dict(state["values"])
        self._culled_at = dict(state["culled_at"])
        self._events = state["events"]
        self._turn = state["turn"]
