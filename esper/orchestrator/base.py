"""The base of every orchestrator: the cool-down, and the plan of a plain verdict."""

from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.checks import require
from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.plan import Plan
from esper.orchestrator.request import VERDICTS, Knowledge, PlanRequest


@dataclass(frozen=True)
class Orchestrator:
    """Turns a decision into a plan.  Planning is a pure function.

    adaptation_cooldown_epochs: epochs that a slot rests after a change.
    """

    name: ClassVar[str]

    adaptation_cooldown_epochs: int = 2

    def __post_init__(self) -> None:
        cooldown = self.adaptation_cooldown_epochs
        require(cooldown >= 0, "orchestrator.adaptation_cooldown_epochs", ">= 0", cooldown)

    def plan(self, decision: Decision, observation: Observation, knowledge: Knowledge) -> Plan:
        """Return the plan for the decision's slot; empty when there is nothing to do.

        The lifecycle table allows every change for the states in `observation`.

        Raises:
            ValueError: if the decision waits, names no slot, or fossilizes or culls no known seed.
            KeyError: if the slot is not in the observation.
        """
        if decision.kind is DecisionKind.WAIT or decision.slot is None:
            raise ValueError(f"there is nothing to plan for a decision to {decision.kind} nowhere")
        is_verdict = decision.kind in VERDICTS
        request = PlanRequest(
            kind="verdict" if is_verdict else self.name,
            decision=decision,
            slot=observation.slot(decision.slot),
            may_grow=observation.may_grow,
            knowledge=knowledge,
        )
        return request.verdict() if is_verdict else self.adapt(request)

    def adapt(self, request: PlanRequest) -> Plan:
        """Return the plan for a decision to adapt; every orchestrator overrides it."""
        raise NotImplementedError
