"""Germinates several seeds of a slot with different blueprints."""

from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.decision import Decision
from esper.contracts.observation import Observation
from esper.contracts.plan import Plan
from esper.orchestrator.base import Knowledge
from esper.orchestrator.request import PlanRequest, check_option, verdict


@dataclass(frozen=True)
class Diversify:
    """Germinates as many seeds as the decision wants, each with a blueprint of its own.

    The strategy chooses the seeds.  There are never more than dormant seeds, nor more than
    different blueprints that these are bound to.

    num_seeds: how many, where the decision names no number.
    initial_blend: alpha target in (0, 1].
    adaptation_cooldown_epochs: epochs that a slot rests after a change.
    """

    name: ClassVar[str] = "diversify"

    num_seeds: int = 2
    initial_blend: float = 1.0
    adaptation_cooldown_epochs: int = 5

    def __post_init__(self) -> None:
        cooldown = self.adaptation_cooldown_epochs
        check_option(self.num_seeds >= 1, "num_seeds", ">= 1", self.num_seeds)
        check_option(0 < self.initial_blend <= 1, "initial_blend", "in (0, 1]", self.initial_blend)
        check_option(cooldown >= 0, "adaptation_cooldown_epochs", ">= 0", cooldown)

    def plan(self, decision: Decision, observation: Observation, knowledge: Knowledge) -> Plan:
        """Return the plan that germinates different blueprints, or an empty one."""
        request = PlanRequest.read(decision, observation, knowledge)
        if request.is_verdict:
            return verdict(request)
        wanted = self.num_seeds if decision.num_seeds is None else decision.num_seeds
        return request.germination(self.name, wanted, self.initial_blend)
