"""Plans with the orchestrator that the decision's adaptation names."""

from dataclasses import dataclass, replace
from typing import ClassVar

from esper.contracts.decision import SLOT_CHANGES, Adaptation
from esper.contracts.plan import Plan
from esper.orchestrator.base import Orchestrator
from esper.orchestrator.diversify import Diversify
from esper.orchestrator.ensemble import Ensemble
from esper.orchestrator.replace import Replace
from esper.orchestrator.request import PlanRequest
from esper.orchestrator.specialize import Specialize


@dataclass(frozen=True)
class Auto(Orchestrator):
    """Hands each decision to the orchestrator that its adaptation names.

    add_neurons -> diversify, remove_neurons -> specialize with even shares of alpha, add_layer ->
    ensemble, replace -> replace.  The plan's kind is the name of the orchestrator that made it.

    initial_blend: of `diversify`.
    """

    name: ClassVar[str] = "auto"

    initial_blend: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for adaptation in SLOT_CHANGES:
            self._orchestrator(adaptation)  # each checks its own keys

    def adapt(self, request: PlanRequest) -> Plan:
        """Return the plan of the orchestrator that the adaptation names; `replace` without one."""
        orchestrator = self._orchestrator(request.decision.adaptation)
        return orchestrator.adapt(replace(request, kind=orchestrator.name))

    def _orchestrator(self, adaptation: Adaptation | None) -> Orchestrator:
        match adaptation:
            case Adaptation.ADD_NEURONS:
                return Diversify(initial_blend=self.initial_blend)
            case Adaptation.REMOVE_NEURONS:
                return Specialize(alpha_step=None)
            case Adaptation.ADD_LAYER:
                return Ensemble()
            case _:
                return Replace()
