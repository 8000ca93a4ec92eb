"""Never grows: the host alone."""

from dataclasses import dataclass
from typing import Any, ClassVar

from esper.contracts.decision import Decision
from esper.contracts.observation import Observation
from esper.policy.base import Policy, wait
from esper.policy.rules.verdict import VerdictRules, judge


@dataclass(frozen=True, kw_only=True)
class Never(VerdictRules):
    """Germinates nothing; judges seeds that live nevertheless by the verdict of all policies."""

    def build(self, rng_seed: int) -> "NeverPolicy":
        """Return the policy; it makes no random choice."""
        return NeverPolicy(self)


class NeverPolicy(Policy):
    """A `Never` in a run; it has no state."""

    name: ClassVar[str] = "never"

    def __init__(self, options: Never) -> None:
        self.options = options

    def decide(self, observation: Observation) -> list[Decision]:
        """Return the verdicts that are due, or to wait."""
        return judge(observation, self.options) or [wait("this policy never grows")]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back an empty state."""
