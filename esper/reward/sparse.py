"""Judges a seed by its latest gain, if it is kept.

total = tanh(scale * gain) for a fossilized seed, 0 for any other      in [-1, 1]
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from esper.contracts.checks import require
from esper.contracts.outcome import Outcome, Reward
from esper.reward.evidence import confidence, credited, who


@dataclass(frozen=True)
class Sparse:
    """Rewards the latest gain of a fossilized seed and nothing else.

    A culled seed gets 0, whatever it cost; so does a fossilized one whose gain was never measured.

    scale: > 0, factor of the gain.
    """

    name: ClassVar[str] = "sparse"

    scale: float = 5.0

    def __post_init__(self) -> None:
        require(0 < self.scale < math.inf, "reward.scale", "finite and > 0", self.scale)

    def judge(self, outcome: Outcome) -> Reward:
        """Return the reward of a settled outcome."""
        kept = (outcome.latest_gain or 0.0) if outcome.fossilized else 0.0
        total = math.tanh(self.scale * kept)
        stays = "it stays" if outcome.fossilized else "it is gone, so it counts as 0"
        return Reward(
            total=total,
            components={"accuracy": kept},
            confidence=confidence(outcome),
            explanation=f"{who(outcome)}: reward {total:+.3f}; {credited(outcome)}; {stays}",
        )
