"""The contract of an orchestrator, and what it may ask about the past."""

from typing import ClassVar, Protocol

from esper.contracts.decision import Decision
from esper.contracts.observation import Observation
from esper.contracts.plan import Plan
from esper.contracts.slot import SlotSpec


class Knowledge(Protocol):
    """What is known of seeds and blueprints."""

    def composite(self, slot: str, seed: int, /) -> float | None:
        """Return the score in [0, 1] of the seed's present activation, None when unknown."""

    def predicted_gain(self, spec: SlotSpec, blueprint: str, /) -> float | None:
        """Return the relative gain to expect of a blueprint there, None when nothing is known."""


class Orchestrator(Protocol):
    """Turns a decision that interferes into a plan.  Planning is a pure function.

    adaptation_cooldown_epochs: how long a slot rests after a change; whoever applies a plan sees
        to it.
    """

    name: ClassVar[str]

    @property
    def adaptation_cooldown_epochs(self) -> int:
        """Epochs that a slot rests after a change."""

    def plan(self, decision: Decision, observation: Observation, knowledge: Knowledge) -> Plan:
        """Return what to do in the decision's slot; an empty plan when there is nothing to do.

        Every change is a move that the lifecycle table holds for the states in `observation`.

        Raises:
            ValueError: if the decision waits, names no slot, or fossilizes or culls no known seed.
            KeyError: if the slot is not in the observation.
        """
