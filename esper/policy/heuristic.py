"""Grows early by fixed rules, and judges each seed by its measured gain."""

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.outcome import Outcome, Reward
from esper.contracts.slot import SlotState
from esper.contracts.stage import SeedStage
from esper.policy.base import Policy
from esper.policy.rules.adaptation import risk_of, with_removals, with_replacements
from esper.policy.rules.counters import GerminationCounter, SettledTrials, UnmetRequests
from esper.policy.rules.growth import AUTO, GrowthRules, combine, request_growth
from esper.policy.rules.order import most_promising, offers
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
    adaptation: `auto` chooses by the state of the slot, see `rules.adaptation`.  `add_neurons` and
        `add_layer` are then the only change; `remove_neurons` and `replace` happen beside
        add_neurons, without which there is no seed to remove or to replace.
    """

    words: ClassVar[tuple[str, ...]] = (AUTO, *Adaptation)

    max_live_seeds_per_slot: int = 1
    seeds_per_adaptation: int | None = None
    adaptation: str = AUTO

    def build(self, rng_seed: int) -> "HeuristicPolicy":
        """Return a new policy; it makes no random choices."""
        return HeuristicPolicy(self)


class HeuristicPolicy(Policy):
    """The policy of `Heuristic`."""

    name: ClassVar[str] = "heuristic"

    def __init__(self, options: Heuristic) -> None:
        self.options = options
        self._penalties = Penalties(options)
        self._germinations = GerminationCounter()
        self._unmet = UnmetRequests()
        self._trials = SettledTrials()

    def decide(self, observation: Observation) -> list[Decision]:
        """Return the verdicts that are due, then a request to grow or the reason to wait."""
        events = self._germinations.update(observation)
        self._unmet.update(observation)
        self._penalties.advance(events)
        decisions = self._by_state(judge(observation, self.options), observation)
        trigger = check_trigger(observation, self.options, events)
        request = request_growth(
            observation,
            trigger,
            self._growth_rules(),
            decisions,
            lambda slots: most_promising(slots, self._trials, self._unmet, self._penalties),
        )
        if request.kind is DecisionKind.ADAPT:
            request = self._weighed(request, observation)
        return combine(decisions, request)

    def learn(self, outcome: Outcome, reward: Reward) -> dict[str, float]:
        """Count the trial, and penalise the blueprint of a culled seed; ignore the reward."""
        self._trials.add(outcome)
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
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self._penalties.load_state_dict(state["penalties"])
        self._germinations = GerminationCounter(**state["germinations"])
        self._unmet = UnmetRequests(**state["unmet"])
        self._trials = SettledTrials(**state["trials"])

    def _growth_rules(self) -> GrowthRules:
        """Return the rules of growth, with the embargo that the last trials earned."""
        if self.options.trigger != "early":
            return self.options
        factor = 2 ** (self._trials.fruitless // FRUITLESS_EVENTS)
        embargo = self.options.embargo_epochs_after_cull * factor
        return replace(self.options, embargo_epochs_after_cull=embargo)

    def _by_state(self, verdicts: list[Decision], observation: Observation) -> list[Decision]:
        """Return the verdicts, with removals and replacements where these are to happen."""
        word, decisions = self.options.adaptation, verdicts
        if word in (AUTO, Adaptation.REMOVE_NEURONS):
            decisions = with_removals(decisions, observation, self.options)
        if word in (AUTO, Adaptation.REPLACE):
            rules, penalties = self.options, self._penalties
            decisions = with_replacements(decisions, observation, rules, rules, penalties)
        return decisions

    def _weighed(self, request: Decision, observation: Observation) -> Decision:
        """Return the request with its adaptation, confidence, urgency, risk and barred blueprints.

        Confidence is the share of the slot's trials that were kept, one kept and one culled added.
        Urgency grows with the plateau.  Risk is that of the least risky blueprint on offer.
        """
        assert request.slot is not None, "a request to grow names its slot"
        slot = observation.slot(request.slot)
        bound = offers(slot)
        barred = self._penalties.barred(slot.spec.catalogue, bound)
        flat = 1 - 0.5 ** (observation.plateau_epochs / self.options.plateau_epochs_to_germinate)
        if set(bound) & set(barred):
            self._penalties.turn()
        self._unmet.ask(slot)
        settled = self._trials.settled.get(request.slot, 0)
        kept = settled - self._trials.failed.get(request.slot, 0)
        is_first = self.options.adaptation == AUTO and not settled
        return replace(
            request,
            adaptation=Adaptation.ADD_LAYER if is_first else request.adaptation,
            confidence=(kept + 1) / (settled + 2),
            urgency=flat,
            risk=risk_of(observation, _least_risk(slot, barred)),
            barred=barred,
        )


def _least_risk(slot: SlotState, barred: tuple[str, ...]) -> float:
    """Return the lowest risk of the blueprints that the slot's dormant seeds offer."""
    dormant = [seed for seed in slot.seeds if seed.stage is SeedStage.DORMANT]
    return min((seed.risk for seed in dormant if seed.bound not in barred), default=0.0)
