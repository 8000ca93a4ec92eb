"""The contract of a policy, and what the rules of all policies share."""

from typing import Any, ClassVar, Protocol

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.outcome import Outcome, Reward


class Policy(Protocol):
    """Decides whether and where to change; built by the `build(rng_seed)` of its option.

    A policy that inherits from it learns nothing and has no state unless it overrides the methods.
    """

    name: ClassVar[str]

    def decide(self, observation: Observation) -> list[Decision]:
        """Return the decisions of this epoch, at least one, each with its reason."""

    def learn(self, outcome: Outcome, reward: Reward) -> dict[str, float]:
        """Learn from a settled activation and return what changed, by metric path."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, ready for JSON."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""


class PolicyOption(Protocol):
    """A config option that builds a policy; its fields are the keys under `policy.`."""

    def build(self, rng_seed: int) -> Policy:
        """Return a policy at the start of a run; `rng_seed` fixes all its random choices."""


class Rules:
    """Base of the rules that options inherit: each class checks its own keys, then calls super."""

    def __post_init__(self) -> None:
        """End the chain of checks."""


def wait(reason: str) -> Decision:
    """Return the decision to change nothing."""
    return Decision(kind=DecisionKind.WAIT, reason=reason)
