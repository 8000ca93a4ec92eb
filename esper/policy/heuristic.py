"""Grows early by fixed rules, and judges each seed by its measured gain."""

from collections import deque
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from esper.contracts.checks import require
from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.outcome import Outcome, Reward
from esper.contracts.stage import SeedStage
from esper.policy.base import Policy
from esper.policy.rules.counters import GerminationCounter, SettledTrials, UnmetRequests
from esper.policy.rules.growth import GrowthRules, combine, request_growth
from esper.policy.rules.order import most_promising
from esper.policy.rules.penalties import Penalties, PenaltyRules
from esper.policy.rules.trigger import TriggerRules, check_trigger
from esper.policy.rules.verdict import VerdictRules, judge

FRUITLESS_EVENTS = 3
"""Growth events in a row that must bring nothing until `early` waits twice as long after a cull."""


# Fields of the last base come first, and so do the printed keys.
@dataclass(frozen=True, kw_only=True)
class Heuristic(PenaltyRules, VerdictRules, GrowthRules, TriggerRules):
    """Grows when the loss flattens, in the slot that promises most.

    With trigger `early`, `embargo_epochs_after_cull` doubles after every `FRUITLESS_EVENTS` growth
    events in a row without success (see `Outcome.succeeded`); a success restores it.

    max_live_seeds_per_slot: 1 means that a slot with an open trial waits for its verdict.
    history_limit: number of decisions that the policy keeps.
    """

    max_live_seeds_per_slot: int = 1

    history_limit: int = 1000

    def __post_init__(self) -> None:
        require(self.history_limit >= 1, "policy.history_limit", ">= 1", self.history_limit)
        super().__post_init__()

    def build(self, rng_seed: int) -> "HeuristicPolicy":
        """Return a new policy; it makes no random choices."""
        return HeuristicPolicy(self)


class HeuristicPolicy(Policy):
    """The policy of `Heuristic`.

    history: its last decisions, oldest first.
    """

    name: ClassVar[str] = "heuristic"

    def __init__(self, options: Heuristic) -> None:
        self.options = options
        self._penalties = Penalties(options)
        self._germinations = GerminationCounter()
        self._unmet = UnmetRequests()
        self._trials = SettledTrials()
        self.history: deque[dict[str, Any]] = deque(maxlen=options.history_limit)

    def decide(self, observation: Observation) -> list[Decision]:
        """Return the verdicts that are due, then a request to grow or the reason to wait."""
        events = self._germinations.update(observation)
        self._unmet.update(observation)
        self._penalties.advance(observation.epoch)
        decisions = judge(observation, self.options)
        trigger = check_trigger(observation, self.options, events)
        request = request_growth(
            observation,
            trigger,
            self._growth_rules(),
            decisions,
            lambda slots: most_promising(slots, self._trials, self._unmet),
        )
        if request.kind is DecisionKind.ADAPT:
            request = self._weighed(request, observation)
        decisions = combine(decisions, request)
        self.history.extend(_line(observation.epoch, each) for each in decisions)
        return decisions

    def learn(self, outcome: Outcome, reward: Reward) -> dict[str, float]:
        """Count the trial, and penalise the blueprint of a culled seed; ignore the reward."""
        self._trials.add(outcome)
        self._penalties.advance(outcome.settled_epoch)
        if not outcome.fossilized:
            self._penalties.add(outcome.blueprint)
        penalty = self._penalties[outcome.blueprint]
        return {f"policy/heuristic/penalty/{outcome.blueprint}": penalty}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the policy, ready for JSON."""
        return {
            "penalties": self._penalties.state_dict(),
            "germinations": asdict(self._germinations),
            "unmet": asdict(self._unmet),
            "trials": asdict(self._trials),
            "history": list(self.history),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self._penalties.load_state_dict(state["penalties"])
        self._germinations = GerminationCounter(**state["germinations"])
        self._unmet = UnmetRequests(**state["unmet"])
        self._trials = SettledTrials(**state["trials"])
        self.history = deque(state["history"], maxlen=self.options.history_limit)

    def _growth_rules(self) -> GrowthRules:
        """Return the rules of growth, with the embargo that the last trials earned."""
        if self.options.trigger != "early":
            return self.options
        factor = 2 ** (self._trials.fruitless // FRUITLESS_EVENTS)
        embargo = self.options.embargo_epochs_after_cull * factor
        return replace(self.options, embargo_epochs_after_cull=embargo)

    def _weighed(self, request: Decision, observation: Observation) -> Decision:
        """Return the request with confidence, urgency, risk and barred blueprints.

        Confidence and urgency grow with the plateau.  Risk grows with the epoch, because less time
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
