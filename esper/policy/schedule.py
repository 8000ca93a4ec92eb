"""Grows at planned epochs, independent of the losses: a control."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.slot import SlotState
from esper.policy.base import Policy
from esper.policy.rules.counters import GerminationCounter
from esper.policy.rules.growth import GrowthRules, combine, request_growth
from esper.policy.rules.trigger import FractionRules, check_fraction
from esper.policy.rules.verdict import VerdictRules, judge


# Fields of the last base come first, and so do the printed keys.
@dataclass(frozen=True, kw_only=True)
class Schedule(VerdictRules, GrowthRules, FractionRules):
    """Grows at fixed fractions of the budget, slot after slot in turn.

    If no slot can grow at such an epoch, the growth event is postponed until one can.
    """

    def build(self, rng_seed: int) -> "SchedulePolicy":
        """Return a new policy; it makes no random choices."""
        return SchedulePolicy(self)


class SchedulePolicy(Policy):
    """The policy of `Schedule`."""

    name: ClassVar[str] = "schedule"
    reads_scores: ClassVar[bool] = False

    def __init__(self, options: Schedule) -> None:
        self.options = options
        self._germinations = GerminationCounter()
        self._asked = 0

    def decide(self, observation: Observation) -> list[Decision]:
        """Return the verdicts that are due, then a request to grow or the reason to wait."""
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
        return combine(decisions, request)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the policy, ready for JSON."""
        return {"germinations": asdict(self._germinations), "asked": self._asked}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self._germinations = GerminationCounter(**state["germinations"])
        self._asked = state["asked"]
