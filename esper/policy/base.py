"""What every policy can do, and the helpers that all of them share."""

from dataclasses import fields
from typing import Any, ClassVar, Protocol, TypeVar

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.outcome import Outcome, Reward

Rules = TypeVar("Rules")


class Policy(Protocol):
    """Decides whether and where to change; built by the `build(rng_seed)` of its option."""

    name: ClassVar[str]

    def decide(self, observation: Observation) -> list[Decision]:
        """Return what the policy wants this epoch, at least one decision, each with its reason."""

    def learn(self, outcome: Outcome, reward: Reward) -> dict[str, float]:
        """Learn from a settled activation and return what changed, by metric path."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""


class PolicyOption(Protocol):
    """A config option that builds a policy; its fields are the keys under `policy.`."""

    def build(self, rng_seed: int) -> Policy:
        """Return a policy at the start of a run; all its chance comes from `rng_seed`."""


def wait(reason: str) -> Decision:
    """Return the decision to change nothing."""
    return Decision(kind=DecisionKind.WAIT, reason=reason)


def require(valid: bool, key: str, rule: str, value: object) -> None:
    """Raise `ValueError` naming the config key, the rule and the value unless `valid`."""
    if not valid:
        raise ValueError(f"policy.{key} must be {rule}, got {value}")


def part(rules: type[Rules], option: object) -> Rules:
    """Return the keys of an option that a dataclass of rules names, checked by it."""
    names = [each.name for each in fields(rules)]  # type: ignore[arg-type]
    return rules(**{name: getattr(option, name) for name in names})
