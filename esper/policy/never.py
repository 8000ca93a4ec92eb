"""Never grows: the host alone."""

from dataclasses import dataclass
from typing import Any, ClassVar

from esper.contracts.decision import Decision
from esper.contracts.observation import Observation
from esper.contracts.outcome import Outcome, Reward
from esper.policy.base import part, wait
from esper.policy.rules.verdict import VerdictRules, judge


@dataclass(frozen=True)
class Never:
    """Germinates nothing; seeds that live nevertheless are judged as everywhere."""

    cull_if_accuracy_drops_by: float = 0.02
    cull_after_epochs_without_improvement: int = 5
    min_improvement_to_fossilize: float = 0.0

    def __post_init__(self) -> None:
        part(VerdictRules, self)

    def build(self, rng_seed: int) -> "NeverPolicy":
        """Return the policy; nothing in it is left to chance."""
        return NeverPolicy(self)


class NeverPolicy:
    """A `Never` in a run; it has no state."""

    name: ClassVar[str] = "never"

    def __init__(self, option: Never) -> None:
        self._verdict = part(VerdictRules, option)

    def decide(self, observation: Observation) -> list[Decision]:
        """Return the verdicts that are due, or to wait."""
        return judge(observation, self._verdict) or [wait("this policy never grows")]

    def learn(self, outcome: Outcome, reward: Reward) -> dict[str, float]:
        """Learn nothing."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return nothing, for nothing changes."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
