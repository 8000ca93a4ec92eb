"""Judges a seed by its latest gain, less what verdicts ask of it.

total = tanh(scale * (gain - asked))      in [-1, 1]

Verdicts ask for the least gain and the price of the FLOPs that were added (`policy.price`).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.checks import require
from esper.contracts.outcome import Outcome, Reward
from esper.reward.evidence import asked, confidence, credited, who

_CREDITS = ("loss", "accuracy")


@dataclass(frozen=True)
class Gain:
    """Judges an outcome by its gain less what verdicts ask; an unmeasured gain counts as 0.

    credit: "loss" takes the latest relative gain, "accuracy" the gain in validation accuracy at the
        verdict.
    scale: > 0, factor of the difference.
    """

    name: ClassVar[str] = "gain"

    credit: str = "loss"
    scale: float = 5.0

    def __post_init__(self) -> None:
        require(0 < self.scale < math.inf, "reward.scale", "finite and > 0", self.scale)
        require(self.credit in _CREDITS, "reward.credit", "one of loss, accuracy", self.credit)

    def judge(self, outcome: Outcome) -> Reward:
        """Return the reward of a settled outcome."""
        gain = outcome.latest_gain if self.credit == "loss" else outcome.accuracy_gain
        total = math.tanh(self.scale * ((gain or 0.0) - outcome.asked_gain))
        measured = "not measured, counts as 0" if gain is None else f"{gain:+.3f}"
        return Reward(
            total=total,
            components={"accuracy": gain or 0.0, "cost": outcome.asked_gain},
            confidence=0.0 if gain is None else confidence(outcome),
            explanation=(
                f"{who(outcome)}: reward {total:+.3f}; {credited(outcome)}, {asked(outcome)}; "
                f"gain in {self.credit} {measured}"
            ),
        )
