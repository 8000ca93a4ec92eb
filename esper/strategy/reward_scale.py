"""Map rewards of any scale to [0, 1].

    unit(r) = 0.5 + (r - mean) / (SPAN * standard deviation), clipped to [0, 1]

with the mean and standard deviation of all rewards of a ledger, by Welford's update (1962).  The
map is linear up to the clipping, so the ledger maps an arm's mean instead of each of its rewards,
at selection time.  If all rewards are equal, each maps to 0.5.
"""

import math
from collections.abc import Sequence
from typing import Any

SPAN = 4.0
"""Standard deviations that fill [0, 1]: two on either side of the mean."""

_FLAT = 1e-12


class RewardScale:
    """Mean and spread of all rewards seen; constant memory."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0
        self._slope = 0.0
        self._offset = 0.5

    def add(self, reward: float) -> None:
        """Count one reward."""
        self.count += 1
        step = reward - self.mean
        self.mean += step / self.count
        self._squares += step * (reward - self.mean)
        self._refresh()

    def add_many(self, count: int, mean: float, deviation: float) -> None:
        """Count `count` rewards of which only mean and sample standard deviation are known."""
        step, before = mean - self.mean, self.count
        self.count += count
        self.mean += step * count / self.count
        self._squares += deviation**2 * (count - 1) + step**2 * before * count / self.count
        self._refresh()

    @property
    def deviation(self) -> float:
        """Sample standard deviation; 0 for fewer than two rewards."""
        return math.sqrt(self._squares / (self.count - 1)) if self.count > 1 else 0.0

    def unit(self, reward: float) -> float:
        """Return `reward`, or a mean of rewards, mapped to [0, 1]."""
        unit = self._offset + reward * self._slope
        return 0.0 if unit < 0 else 1.0 if unit > 1 else unit

    def units(self, rewards: Sequence[float]) -> tuple[float, ...]:
        """Return each of `rewards` mapped to [0, 1]."""
        offset, slope = self._offset, self._slope
        return tuple(
            [
                (unit if unit < 1 else 1.0) if (unit := offset + reward * slope) > 0 else 0.0
                for reward in rewards
            ]
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the state for `load_state_dict`, ready for JSON."""
        return {"count": self.count, "mean": self.mean, "squares": self._squares}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.count = state["count"]
        self.mean = state["mean"]
        self._squares = state["squares"]
        self._refresh()

    def _refresh(self) -> None:
        deviation = self.deviation
        # Rounding alone spreads equal rewards this much, and must not be scaled up to [0, 1].
        flat = deviation <= _FLAT * abs(self.mean)
        self._slope = 0.0 if flat else 1 / (SPAN * deviation)
        self._offset = 0.5 - self.mean * self._slope
