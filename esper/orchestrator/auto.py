"""Follows the kind of change that the decision asks for."""

from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.decision import Adaptation, Decision
from esper.contracts.observation import Observation
from esper.contracts.plan import Plan
from esper.orchestrator.base import Knowledge, Orchestrator
from esper.orchestrator.diversify import Diversify
from esper.orchestrator.ensemble import Ensemble
from esper.orchestrator.replace import Replace
from esper.orchestrator.specialize import Specialize


@dataclass(frozen=True)
class Auto:
    """Hands each decision to the orchestrator that its adaptation names.

    add_neurons -> diversify, remove_neurons -> specialize, add_layer -> ensemble, replace ->
    replace.  The plan's kind is the name of the orchestrator that made it.

    min_performance_threshold: of `replace`.
    num_seeds, initial_blend: of `diversify`.
    alpha_step: of `specialize`.
    adaptation_cooldown_epochs: epochs that a slot rests after a change.
    """

    name: ClassVar[str] = "auto"

    min_performance_threshold: float = 0.3
    num_seeds: int = 2
    initial_blend: float = 1.0
    alpha_step: float = 0.2
    adaptation_cooldown_epochs: int = 5

    def __post_init__(self) -> None:
        for adaptation in Adaptation:
            self._follow(adaptation)  # each checks its own keys

    def plan(self, decision: Decision, observation: Observation, knowledge: Knowledge) -> Plan:
        """Return the plan of the orchestrator that the decision's adaptation names."""
        return self._follow(decision.adaptation).plan(decision, observation, knowledge)

    def _follow(self, adaptation: Adaptation | None) -> Orchestrator:
        """Return the orchestrator for an adaptation; `replace` where none is named."""
        cooldown = self.adaptation_cooldown_epochs
        match adaptation:
            case Adaptation.ADD_NEURONS:
                return Diversify(self.num_seeds, self.initial_blend, cooldown)
            case Adaptation.REMOVE_NEURONS:
                return Specialize(self.alpha_step, adaptation_cooldown_epochs=cooldown)
            case Adaptation.ADD_LAYER:
                return Ensemble(cooldown)
            case _:
                return Replace(self.min_performance_threshold, cooldown)
