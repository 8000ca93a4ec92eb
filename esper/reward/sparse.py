"""Judges a seed by its latest gain, less what verdicts ask of it, if it is kept.

total = tanh(scale * (gain - asked)) for a fossilized seed, 0 for any other      in [-1, 1]
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.checks import require
from esper.contracts.outcome import Outcome, Reward
from esper.reward.evidence import asked, confidence, credited, who


@dataclass(frozen=True)
class Sparse:
    """Rewards what a fossilized seed gains beyond what verdicts ask, and nothing else.

    A culled seed gets 0, whatever it cost.  An unmeasured gain counts as 0.

    scale: > 0, factor of the difference.
    """

    name: ClassVar[str] = "sparse"

    scale: float = 5.0

    def __post_init__(self) -> None:
        require(0 < self.scale < math.inf, "reward.scale", "finite and > 0", self.scale)

    def judge(self, outcome: Outcome) -> Reward:
        """Return the reward of a settled outcome."""
        gain, cost = 0.0, 0.0
        if outcome.fossilized:
            gain, cost = outcome.latest_gain or 0.0, outcome.asked_gain
        total = math.tanh(self.scale * (gain - cost))
        stays = "it stays" if outcome.fossilized else "it is gone, so it counts as 0"
        return Reward(
            total=total,
            components={"accuracy": gain, "cost": cost},
            confidence=confidence(outcome),
            explanation=(
                f"{who(outcome)}: reward {total:+.3f}; {credited(outcome)}, {asked(outcome)}; "
                f"{stays}"
            ),
        )
