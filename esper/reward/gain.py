"""Judges a seed by its latest gain, less a rent for the FLOPs or parameters that it added.

total = tanh(scale * (gain - rent * log(1 + added, relative)))      in [-1, 1]
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.checks import require
from esper.contracts.outcome import Outcome, Reward
from esper.reward.evidence import added_flops, added_parameters, confidence, credited, who

_CREDITS = ("loss", "accuracy")
_ADDED = {"flops": added_flops, "parameters": added_parameters}


@dataclass(frozen=True)
class Gain:
    """Judges an outcome by its gain minus rent; an unmeasured gain counts as 0.

    rent: >= 0, the gain that a growth by a factor of e must bring.
    credit: "loss" takes the latest relative gain, "accuracy" the gain in validation accuracy at the
        verdict.
    per: "flops" or "parameters", whose growth the rent is for.
    scale: > 0, factor of the difference.
    """

    name: ClassVar[str] = "gain"

    rent: float = 0.01
    credit: str = "loss"
    per: str = "flops"
    scale: float = 5.0

    def __post_init__(self) -> None:
        require(0 <= self.rent < math.inf, "reward.rent", "finite and >= 0", self.rent)
        require(0 < self.scale < math.inf, "reward.scale", "finite and > 0", self.scale)
        require(self.credit in _CREDITS, "reward.credit", "one of loss, accuracy", self.credit)
        require(self.per in _ADDED, "reward.per", "one of flops, parameters", self.per)

    def judge(self, outcome: Outcome) -> Reward:
        """Return the reward of a settled outcome."""
        gain = outcome.latest_gain if self.credit == "loss" else outcome.accuracy_gain
        cost = _ADDED[self.per](outcome)
        total = math.tanh(self.scale * ((gain or 0.0) - self.rent * cost))
        measured = "not measured, counts as 0" if gain is None else f"{gain:+.3f}"
        return Reward(
            total=total,
            components={"accuracy": gain or 0.0, "cost": cost},
            confidence=0.0 if gain is None else confidence(outcome),
            explanation=(
                f"{who(outcome)}: reward {total:+.3f}; {credited(outcome)}; gain in {self.credit} "
                f"{measured}, less rent {self.rent:g} x {cost:.3g} for added {self.per}"
            ),
        )
