"""The contract of a reward model."""

from typing import ClassVar, Protocol

from esper.contracts.outcome import Outcome, Reward


class RewardModel(Protocol):
    """Judges a settled outcome.  Judging is a pure function."""

    name: ClassVar[str]

    def judge(self, outcome: Outcome) -> Reward:
        """Return the reward; its total, in [-1, 1], never falls when the gain rises."""
