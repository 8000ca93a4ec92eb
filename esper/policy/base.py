"""The contract of a policy, and the base of the rules that policies share."""

from typing import Any, ClassVar, Protocol

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.outcome import Outcome, Reward


class Policy(Protocol):
    """Decides whether and where to change; built by the `build(rng_seed)` of its option.

    By default a policy learns nothing, has no state and reads scores, but no health.

    reads_scores: whether it decides by `SlotState.score` and `prospects`, which need backward
        passes.
    reads_health: whether it decides by `SlotState.health` and `births`, which a probe measures.
    """

    name: ClassVar[str]
    reads_health: ClassVar[bool] = False
    reads_scores: ClassVar[bool] = True

    def decide(self, observation: Observation) -> list[Decision]:
        """Return the decisions of this epoch, at least one."""

    def learn(self, outcome: Outcome, reward: Reward) -> dict[str, float]:
        """Learn from a settled activation; return changed values by metric path."""
        return {}

    def reading(self, slot: str, blueprint: str) -> str:
        """Return what a network read of a kernel that it asked for last, see `learning.reading`.

        It is empty where no network decided.
        """
        del slot, blueprint
        return ""

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the policy, ready for JSON."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        del state


def reads_health(policy: Policy) -> bool:
    """Return `policy.reads_health`, the default where a policy of one's own does not say it."""
    return bool(getattr(policy, "reads_health", Policy.reads_health))


def reading_of(policy: Policy, slot: str, blueprint: str) -> str:
    """Return `policy.reading`, the default where a policy of one's own has none."""
    return str(getattr(policy, "reading", lambda *_: "")(slot, blueprint))


def reads_scores(policy: Policy) -> bool:
    """Return `policy.reads_scores`, the default where a policy of one's own does not say it."""
    return bool(getattr(policy, "reads_scores", Policy.reads_scores))


class PolicyOption(Protocol):
    """A config option that builds a policy; its fields are the keys under `policy.`."""

    def build(self, rng_seed: int) -> Policy:
        """Return a new policy; `rng_seed` determines its random choices."""


class Rules:
    """Base of the rules that options inherit; each class checks its own keys, then calls super."""

    def __post_init__(self) -> None:
        """End the chain of checks."""


def wait(reason: str) -> Decision:
    """Return the decision to change nothing."""
    return Decision(kind=DecisionKind.WAIT, reason=reason)
