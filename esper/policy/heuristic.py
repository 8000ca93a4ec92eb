"""Grows early and by rule, and judges each seed by what it brought."""

from collections import deque
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.outcome import Outcome, Reward
from esper.contracts.slot import SlotState
from esper.contracts.stage import SeedStage
from esper.policy.base import part, require
from esper.policy.rules.counters import GerminationCounter, UnmetRequests
from esper.policy.rules.growth import GrowthRules, germinations, request_growth, together
from esper.policy.rules.penalties import Penalties, PenaltyRules
from esper.policy.rules.trigger import TriggerRules, check_trigger
from esper.policy.rules.verdict import VerdictRules, judge


@dataclass(frozen=True)
class Heuristic:
    """Grows at fixed shares of the budget or when the loss flattens, and later on a plateau.

    trigger: `early`, `plateau`, `slope` or `fractions`; see `trigger`, which says the other keys
        of when to grow too.
    embargo_epochs_after_cull: epochs that a slot is left alone after a cull in it.
    max_live_seeds_per_slot: a slot with so many live seeds gets no further one.
    adaptation, seeds_per_adaptation: what a decision to grow asks for.
    cull_if_accuracy_drops_by, cull_after_epochs_without_improvement: a seed is culled when the
        validation accuracy fell by more than this fraction, so many epochs after germination.
    min_improvement_to_fossilize: relative gain that a seed must beat, beside the verdict's own bar.
    penalty_per_cull, penalty_decay, penalty_floor, penalty_limit: see `penalties`.
    history_limit: how many of its decisions the policy remembers.
    """

    trigger: str = "early"
    plateau_epochs_to_germinate: int = 3
    min_epochs_before_germinate: int = 5
    fractions: tuple[float, ...] = (0.10, 0.17, 0.25)
    early_until: float = 0.30
    slope_window: int = 3
    slope_threshold: float = 0.15
    embargo_epochs_after_cull: int = 5
    max_live_seeds_per_slot: int = 2
    adaptation: str = "add_neurons"
    seeds_per_adaptation: int = 1
    cull_if_accuracy_drops_by: float = 0.02
    cull_after_epochs_without_improvement: int = 5
    min_improvement_to_fossilize: float = 0.0
    penalty_per_cull: float = 2.0
    penalty_decay: float = 0.5
    penalty_floor: float = 0.1
    penalty_limit: float = 3.0
    history_limit: int = 1000

    def __post_init__(self) -> None:
        object.__setattr__(self, "fractions", tuple(self.fractions))
        require(self.history_limit >= 1, "history_limit", ">= 1", self.history_limit)
        for rules in (TriggerRules, GrowthRules, VerdictRules, PenaltyRules):
            part(rules, self)

    def build(self, rng_seed: int) -> "HeuristicPolicy":
        """Return the policy at the start of a run; nothing in it is left to chance."""
        return HeuristicPolicy(self)


class HeuristicPolicy:
    """The state of a `Heuristic` in a run.

    history: its last decisions, oldest first.
    """

    name: ClassVar[str] = "heuristic"

    def __init__(self, option: Heuristic) -> None:
        self._trigger = part(TriggerRules, option)
        self._growth = part(GrowthRules, option)
        self._verdict = part(VerdictRules, option)
        self._penalties = Penalties(part(PenaltyRules, option))
        self._germinations = GerminationCounter()
        self._vain = UnmetRequests()
        self.history: deque[dict[str, Any]] = deque(maxlen=option.history_limit)

    def decide(self, observation: Observation) -> list[Decision]:
        """Return verdicts on seeds first, then the wish to grow, or why there is none."""
        events = self._germinations.update(observation)
        self._vain.update(observation)
        self._penalties.advance(observation.epoch)
        decisions = judge(observation, self._verdict)
        trigger = check_trigger(observation, self._trigger, events)
        wanted = request_growth(observation, trigger, self._growth, decisions, self._least_tried)
        if wanted.kind is DecisionKind.ADAPT:
            wanted = self._weighed(wanted, observation)
        decisions = together(decisions, wanted)
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
            "germinations": self._germinations.state_dict(),
            "vain": self._vain.state_dict(),
            "history": list(self.history),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        self._penalties.load_state_dict(state["penalties"])
        self._germinations.load_state_dict(state["germinations"])
        self._vain.load_state_dict(state["vain"])
        self.history.clear()
        self.history.extend(state["history"])

    def _least_tried(self, slots: list[SlotState]) -> SlotState:
        """Return the slot with the fewest germinations and vain wishes, the earliest of several."""
        return min(slots, key=lambda slot: germinations(slot) + self._vain[slot.spec.name])

    def _weighed(self, wanted: Decision, observation: Observation) -> Decision:
        """Return the wish with its confidence, urgency and risk, and what must not be tried.

        Confidence and urgency grow with the plateau; the later, the less time to recover.
        """
        assert wanted.slot is not None, "a wish to grow names its slot"
        slot = observation.slot(wanted.slot)
        dormant = [seed.bound for seed in slot.seeds if seed.stage is SeedStage.DORMANT]
        barred = self._penalties.barred(slot.spec.catalogue, dormant)
        flat = 1 - 0.5 ** (observation.plateau_epochs / self._trigger.plateau_epochs_to_germinate)
        if set(dormant) & set(barred):
            self._penalties.turn()
        self._vain.ask(slot)
        return replace(
            wanted,
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
