"""What safety looks at: one decision beside the run, its limits and what has passed already."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.slot import SeedState, SlotState

if TYPE_CHECKING:
    from esper.policy.safety import Safety


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the network takes now, and what one more kernel may add.

    memory_mb: None when it was not measured.
    kernel_parameters, kernel_memory_mb: of the largest kernel on offer, 0 when not known.
    """

    parameters: int
    memory_mb: float | None = None
    kernel_parameters: int = 0
    kernel_memory_mb: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One decision beside everything that it is judged by.

    accepted: the decisions of this epoch that have passed already.
    """

    decision: Decision
    observation: Observation
    usage: Usage
    limits: "Safety"
    accepted: tuple[Decision, ...]

    @property
    def is_adaptation(self) -> bool:
        """True when a slot is to be adapted, not a seed judged."""
        return self.decision.kind is DecisionKind.ADAPT

    @property
    def slot(self) -> SlotState:
        """The slot that the decision names."""
        assert self.decision.slot is not None, "slot_exists comes first"
        return self.observation.slot(self.decision.slot)

    @property
    def seed(self) -> SeedState | None:
        """The seed that the decision names, None if the slot has no such seed."""
        index = self.decision.seed
        return next((seed for seed in self.slot.seeds if seed.seed == index), None)

    @property
    def num_kernels(self) -> int:
        """How many kernels the adaptations of this epoch may add, this one included."""
        adapting = [self.decision, *(d for d in self.accepted if d.kind is DecisionKind.ADAPT)]
        return sum(_most_seeds(each, self.observation) for each in adapting)


def _most_seeds(decision: Decision, observation: Observation) -> int:
    """Return how many seeds an adaptation may germinate: all of its slot where it names none."""
    if decision.num_seeds is not None:
        return decision.num_seeds
    assert decision.slot is not None, "slot_exists comes first"
    return len(observation.slot(decision.slot).seeds)
