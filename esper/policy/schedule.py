"""Grows at planned epochs: a control that looks at nothing before it grows."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.slot import SlotState
from esper.policy.base import Policy
from esper.policy.rules.counters import GerminationCounter
from esper.policy.rules.growth import GrowthRules, request_growth, together
from esper.policy.rules.trigger import FractionRules, check_fraction
from esper.policy.rules.verdict import VerdictRules, judge


# Fields come from the last base first: that is the order in which the keys are printed.
@dataclass(frozen=True, kw_only=True)
class Schedule(VerdictRules, GrowthRules, FractionRules):
    """Grows at fixed shares of the budget, slot after slot in turn.

    A growth event that no slot can serve happens as soon as a slot can grow.
    """

    def build(self, rng_seed: int) -> "SchedulePolicy":
        """Return the policy at the start of a run; it makes no random choice."""
        return SchedulePolicy(self)


class SchedulePolicy(Policy):
    """The state of a `Schedule` in a run."""

    name: ClassVar[str] = "schedule"

    def __init__(self, options: Schedule) -> None:
        self.options = options
        self._germinations = GerminationCounter()
        self._asked = 0

    def decide(self, observation: Observation) -> list[Decision]:
        """Return the verdicts that are due, then a request to grow, or why there is none."""
        events = self._germinations.update(observation)
        names = [slot.spec.name for slot in observation.slots]

        def turns_to_wait(slot: SlotState) -> int:
            return (names.index(slot.spec.name) - self._asked) % len(names)

        decisions = judge(observation, self.options)
        request = request_growth(
            observation,
            check_fraction(observation, self.options.fractions, events),
            self.options,
            decisions,
            lambda slots: min(slots, key=turns_to_wait),
        )
        self._asked += request.kind is DecisionKind.ADAPT
        return together(decisions, request)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, ready for JSON."""
        return {"germinations": asdict(self._germinations), "asked": self._asked}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        self._germinations = GerminationCounter(**state["germinations"])
        self._asked = state["asked"]
