"""Grows early and by rule, and judges each seed by its measured gain."""

from collections import deque
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from esper.contracts.checks import require
from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.outcome import Outcome, Reward
from esper.contracts.slot import SlotState
from esper.contracts.stage import SeedStage
from esper.policy.base import Policy
from esper.policy.rules.counters import GerminationCounter, UnmetRequests
from esper.policy.rules.growth import GrowthRules, germinations, request_growth, together
from esper.policy.rules.penalties import Penalties, PenaltyRules
from esper.policy.rules.trigger import TriggerRules, check_trigger
from esper.policy.rules.verdict import VerdictRules, judge


# Fields come from the last base first: that is the order in which the keys are printed.
@dataclass(frozen=True, kw_only=True)
class Heuristic(PenaltyRules, VerdictRules, GrowthRules, TriggerRules):
    """Grows at fixed shares of the budget or when the loss flattens, and later on a plateau.

    history_limit: how many of its decisions the policy remembers.
    """

    history_limit: int = 1000

    def __post_init__(self) -> None:
        require(self.history_limit >= 1, "policy.history_limit", ">= 1", self.history_limit)
        super().__post_init__()

    def build(self, rng_seed: int) -> "HeuristicPolicy":
        """Return the policy at the start of a run; it makes no random choice."""
        return HeuristicPolicy(self)


class HeuristicPolicy(Policy):
    """The state of a `Heuristic` in a run.

    history: its last decisions, oldest first.
    """

    name: ClassVar[str] = "heuristic"

    def __init__(self, options: Heuristic) -> None:
        self.options = options
        self._penalties = Penalties(options)
        self._germinations = GerminationCounter()
        self._unmet = UnmetRequests()
        self.history: deque[dict[str, Any]] = deque(maxlen=options.history_limit)

    def decide(self, observation: Observation) -> list[Decision]:
        """Return the verdicts that are due, then a request to grow, or why there is none."""
        events = self._germinations.update(observation)
        self._unmet.update(observation)
        self._penalties.advance(observation.epoch)
        decisions = judge(observation, self.options)
        trigger = check_trigger(observation, self.options, events)
        request = request_growth(observation, trigger, self.options, decisions, self._least_tried)
        if request.kind is DecisionKind.ADAPT:
            request = self._weighed(request, observation)
        decisions = together(decisions, request)
        self.history.extend(_line(observation.epoch, each) for each in decisions)
        return decisions

    def learn(self, outcome: Outcome, reward: Reward) -> dict[str, float]:
        """Count a cull against its blueprint; the reward changes nothing here."""
        self._penalties.advance(outcome.settled_epoch)
        if not outcome.fossilized:
            self._penalties.add(outcome.blueprint)
        path = f"policy/heuristic/penalty/{outcome.blueprint}"
        return {path: self._penalties[outcome.blueprint]}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, ready for JSON."""
        return {
            "penalties": self._penalties.state_dict(),
            "germinations": asdict(self._germinations),
            "unmet": asdict(self._unmet),
            "history": list(self.history),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        self._penalties.load_state_dict(state["penalties"])
        self._germinations = GerminationCounter(**state["germinations"])
        self._unmet = UnmetRequests(**state["unmet"])
        self.history.clear()
        self.history.extend(state["history"])

    def _least_tried(self, slots: list[SlotState]) -> SlotState:
        """Return the slot with the fewest germinations and unmet requests, the first of equals."""
        return min(slots, key=lambda slot: germinations(slot) + self._unmet[slot.spec.name])

    def _weighed(self, request: Decision, observation: Observation) -> Decision:
        """Return the request with confidence, urgency, risk and the blueprints that are barred.

        Confidence and urgency grow with the plateau; risk grows with the epoch, because less time
        is left to recover.
        """
        assert request.slot is not None, "a request to grow names its slot"
        slot = observation.slot(request.slot)
        dormant = [seed.bound for seed in slot.seeds if seed.stage is SeedStage.DORMANT]
        barred = self._penalties.barred(slot.spec.catalogue, dormant)
        flat = 1 - 0.5 ** (observation.plateau_epochs / self.options.plateau_epochs_to_germinate)
        if set(dormant) & set(barred):
            self._penalties.turn()
        self._unmet.ask(slot)
        return replace(
            request,
            confidence=0.5 + 0.5 * flat,
            urgency=flat,
            risk=min(1.0, observation.epoch / max(1, observation.epochs)),
            barred=barred,
        )


def _line(epoch: int, decision: Decision) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "kind": str(decision.kind),
        "slot": decision.slot,
        "seed": decision.seed,
        "reason": decision.reason,
    }
