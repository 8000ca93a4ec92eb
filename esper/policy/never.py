"""Never grows: trains the host without kernels."""

from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.decision import Decision
from esper.contracts.observation import Observation
from esper.policy.base import Policy, wait
from esper.policy.rules.verdict import VerdictRules, judge


@dataclass(frozen=True, kw_only=True)
class Never:
    """Never germinates seeds; judges those of a loaded network by the usual verdict."""

    def build(self, rng_seed: int) -> "NeverPolicy":
        """Return a new policy; it makes no random choices."""
        return NeverPolicy()


class NeverPolicy(Policy):
    """The policy of `Never`; it has no state."""

    name: ClassVar[str] = "never"
    reads_scores: ClassVar[bool] = False

    def decide(self, observation: Observation) -> list[Decision]:
        """Return the verdicts that are due, else to wait."""
        return judge(observation, VerdictRules()) or [wait("this policy never grows")]
