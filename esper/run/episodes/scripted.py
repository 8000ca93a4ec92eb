"""Grow at given epochs, in given slots, with given blueprints: for counterfactual runs."""

from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.policy.base import Policy, wait
from esper.policy.rules.verdict import VerdictRules, judge


@dataclass(frozen=True, slots=True)
class Event:
    """One germination: after an epoch, in a slot, with a kernel of a blueprint."""

    epoch: int
    slot: str
    blueprint: str


@dataclass(frozen=True, kw_only=True)
class Scripted(VerdictRules):
    """Carries out events; a policy for experiments, which no configuration offers.

    events: at most one for a slot at an epoch.
    keeps: whether each kernel is kept at its first look; otherwise the usual verdict decides.
    probes: whether the health of the slots is measured.
    """

    events: tuple[Event, ...] = ()
    keeps: bool = True
    probes: bool = False

    def build(self, rng_seed: int) -> "ScriptedPolicy":
        """Return a new policy; it makes no random choices."""
        return ProbingPolicy(self) if self.probes else ScriptedPolicy(self)


class ScriptedPolicy(Policy):
    """The policy of `Scripted`; it has no state."""

    name: ClassVar[str] = "scripted"
    reads_scores: ClassVar[bool] = False

    def __init__(self, options: Scripted) -> None:
        self.options = options

    def decide(self, observation: Observation) -> list[Decision]:
        """Return the verdicts that are due and the events of this epoch, else to wait."""
        due = [event for event in self.options.events if event.epoch == observation.epoch]
        requests = [request(observation, event.slot, event.blueprint) for event in due]
        verdicts = keep_all(observation) if self.options.keeps else judge(observation, self.options)
        return [*verdicts, *requests] or [wait("nothing is planned for this epoch")]


class ProbingPolicy(ScriptedPolicy):
    """A scripted policy whose observations hold the health of the slots."""

    reads_health: ClassVar[bool] = True


def request(observation: Observation, slot: str, blueprint: str) -> Decision:
    """Return the request to grow a slot with a kernel of one blueprint."""
    catalogue = observation.slot(slot).spec.catalogue
    return Decision(
        kind=DecisionKind.ADAPT,
        slot=slot,
        adaptation=Adaptation.ADD_NEURONS,
        num_seeds=1,
        reason=f"{blueprint} is planned for epoch {observation.epoch}",
        barred=tuple(name for name in catalogue if name != blueprint),
    )


def keep_all(observation: Observation) -> list[Decision]:
    """Return the decisions to keep every seed at its first look."""
    return [
        Decision(
            kind=DecisionKind.FOSSILIZE,
            slot=seed.slot,
            seed=seed.seed,
            reason="kept without a verdict",
        )
        for seed in observation.live_seeds
        if seed.look is not None
    ]
