"""Remember which blueprints were culled lately, and keep them from being tried again too soon."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from esper.policy.base import require


@dataclass(frozen=True, slots=True, kw_only=True)
class PenaltyRules:
    """How culls count against a blueprint; the fields are keys of `policy`.

    penalty_decay: factor of a penalty an epoch; under `penalty_floor` it is dropped.
    penalty_limit: from here on a blueprint is not offered.
    """

    penalty_per_cull: float = 2.0
    penalty_decay: float = 0.5
    penalty_floor: float = 0.1
    penalty_limit: float = 3.0

    def __post_init__(self) -> None:
        cull, decay = self.penalty_per_cull, self.penalty_decay
        floor, limit = self.penalty_floor, self.penalty_limit
        require(0 <= cull < float("inf"), "penalty_per_cull", ">= 0 and finite", cull)
        require(0 <= decay < 1, "penalty_decay", "in [0, 1)", decay)
        require(0 < floor < float("inf"), "penalty_floor", "> 0 and finite", floor)
        require(limit > floor, "penalty_limit", f"> penalty_floor ({floor:g})", limit)


class Penalties:
    """The penalty of each blueprint, 0 unless it was culled lately."""

    def __init__(self, rules: PenaltyRules) -> None:
        self._rules = rules
        self._values: dict[str, float] = {}
        self._epoch = 0
        self._turn = 0

    def __getitem__(self, blueprint: str) -> float:
        return self._values.get(blueprint, 0.0)

    def advance(self, epoch: int) -> None:
        """Let penalties fade up to `epoch`: once an epoch, however often this is called."""
        epochs = epoch - self._epoch
        if epochs <= 0:
            return
        self._epoch = epoch
        factor = self._rules.penalty_decay**epochs
        faded = {name: value * factor for name, value in self._values.items()}
        self._values = {
            n: value for n, value in faded.items() if value >= self._rules.penalty_floor
        }

    def add(self, blueprint: str) -> None:
        """Count a cull against a blueprint."""
        self._values[blueprint] = self[blueprint] + self._rules.penalty_per_cull

    def barred(self, catalogue: Sequence[str], offered: Sequence[str]) -> tuple[str, ...]:
        """Return the blueprints of a slot's catalogue that the strategy must not offer.

        When all that could be offered reach the limit, the least penalised of them stays; several
        that are alike take turns, see `turn`.

        Args:
            catalogue: the slot's blueprints.
            offered: the blueprints that its dormant seeds are bound to.
        """
        over = tuple(name for name in catalogue if self[name] >= self._rules.penalty_limit)
        if not set(offered) <= set(over):
            return over
        least = min((self[name] for name in offered), default=0.0)
        alike = [name for name in dict.fromkeys(offered) if self[name] == least]
        kept = alike[self._turn % len(alike)] if alike else None
        return tuple(name for name in over if name != kept)

    def turn(self) -> None:
        """Pass the turn on among the least penalised."""
        self._turn += 1

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, ready for JSON."""
        return {"values": dict(self._values), "epoch": self._epoch, "turn": self._turn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        self._values = dict(state["values"])
        self._epoch = state["epoch"]
        self._turn = state["turn"]
