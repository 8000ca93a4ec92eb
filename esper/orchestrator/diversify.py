"""Germinates several seeds of a slot with different blueprints."""

from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.checks import require
from esper.contracts.plan import Plan
from esper.orchestrator.base import Orchestrator
from esper.orchestrator.request import PlanRequest

NUM_SEEDS = 2
"""Seeds that germinate at most if the decision names no number."""


@dataclass(frozen=True)
class Diversify(Orchestrator):
    """Germinates as many seeds as the decision asks for, each with a different blueprint.

    Without a number one germinates, and a second if the strategy expects a reward of at least 0 of
    it, as soon as rewards are known.  The strategy chooses the seeds.  The plan holds at most one
    germination per blueprint that a dormant seed is bound to.

    initial_blend: alpha target in (0, 1].
    """

    name: ClassVar[str] = "diversify"

    initial_blend: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        blend = self.initial_blend
        require(0 < blend <= 1, "orchestrator.initial_blend", "in (0, 1]", blend)

    def adapt(self, request: PlanRequest) -> Plan:
        """Return the plan that germinates different blueprints, or an empty one."""
        return request.wanted(1, NUM_SEEDS, self.initial_blend)
