"""Grows by the calendar: a control that looks at nothing before it grows."""

from dataclasses import dataclass
from typing import Any, ClassVar

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.outcome import Outcome, Reward
from esper.contracts.slot import SlotState
from esper.policy.base import part
from esper.policy.rules.counters import GerminationCounter
from esper.policy.rules.growth import GrowthRules, request_growth, together
from esper.policy.rules.trigger import check_fraction, check_fractions
from esper.policy.rules.verdict import VerdictRules, judge


@dataclass(frozen=True)
class Schedule:
    """Grows at fixed shares of the budget, slot after slot in turn.

    An event whose slots are all at rest is made up for as soon as one can grow.  The other keys
    mean what they mean for `heuristic`, and seeds are judged by the same verdict.
    """

    fractions: tuple[float, ...] = (0.10, 0.17, 0.25)
    embargo_epochs_after_cull: int = 5
    max_live_seeds_per_slot: int = 2
    adaptation: str = "add_neurons"
    seeds_per_adaptation: int = 1
    cull_if_accuracy_drops_by: float = 0.02
    cull_after_epochs_without_improvement: int = 5
    min_improvement_to_fossilize: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "fractions", tuple(self.fractions))
        check_fractions(self.fractions)
        part(GrowthRules, self)
        part(VerdictRules, self)

    def build(self, rng_seed: int) -> "SchedulePolicy":
        """Return the policy at the start of a run; nothing in it is left to chance."""
        return SchedulePolicy(self)


class SchedulePolicy:
    """The state of a `Schedule` in a run."""

    name: ClassVar[str] = "schedule"

    def __init__(self, option: Schedule) -> None:
        self._fractions = option.fractions
        self._growth = part(GrowthRules, option)
        self._verdict = part(VerdictRules, option)
        self._germinations = GerminationCounter()
        self._asked = 0

    def decide(self, observation: Observation) -> list[Decision]:
        """Return the verdicts that are due, then what the calendar wants."""
        events, turn = self._germinations.update(observation), self._asked
        names = [slot.spec.name for slot in observation.slots]

        def turns_to_wait(slot: SlotState) -> int:
            return (names.index(slot.spec.name) - turn) % len(names)

        decisions = judge(observation, self._verdict)
        wanted = request_growth(
            observation,
            check_fraction(observation, self._fractions, events),
            self._growth,
            decisions,
            lambda slots: min(slots, key=turns_to_wait),
        )
        self._asked += wanted.kind is DecisionKind.ADAPT
        return together(decisions, wanted)

    def learn(self, outcome: Outcome, reward: Reward) -> dict[str, float]:
        """Learn nothing."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, ready for JSON."""
        return {"germinations": self._germinations.state_dict(), "asked": self._asked}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        self._germinations.load_state_dict(state["germinations"])
        self._asked = state["asked"]
