"""Map rewards of any scale to [0, 1].

    unit(r) = 0.5 + (r - mean) / (SPAN * standard deviation), clipped to [0, 1]

with the mean and standard deviation of all rewards of a ledger, by Welford's update (1962).  The
map is linear up to the clipping, so the ledger maps an arm's mean instead of each of its rewards,
at selection time.  If all rewards are equal, each maps to 0.5.

The noise is the standard deviation of rewards around the mean of their arm, pooled over all arms
and shrunk towards that of all rewards, which is worth `NOISE_WEIGHT` rewards.  There each reward
counts by its weight.
"""

import math
from collections.abc import Sequence
from typing import Any

SPAN = 4.0
"""Standard deviations that fill [0, 1]: two on either side of the mean."""

SPREAD = 1 / SPAN
"""Standard deviation of the rewards seen, on the scale from 0 to 1."""

NOISE_WEIGHT = 2.0
"""Weight of the spread of all rewards in the estimate of the noise, in rewards."""

_FLAT = 1e-12


class RewardScale:
    """Mean and spread of all rewards seen; constant memory."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0
        self._within = 0.0
        self._repeats = 0.0
        self._slope = 0.0
        self._offset = 0.5

    def add(self, reward: float, within: float | None = None, weight: float = 1.0) -> None:
        """Count one reward.

        `within` is by how much it raises the sum of squares around the mean of its arm, in which it
        has `weight`; None if it is the first of its arm.
        """
        self.count += 1
        step = reward - self.mean
        self.mean += step / self.count
        self._squares += step * (reward - self.mean)
        if within is not None:
            self._within += within
            self._repeats += weight
        self._refresh()

    def revise(self, former: float, reward: float, within: float) -> None:
        """Replace a counted reward; `within` is what that adds to the squares around its arm."""
        step, before = reward - former, self.mean
        self.mean += step / self.count
        squares = self._squares + step * (reward - self.mean + former - before)
        # What rounding leaves of equal rewards must not be scaled up to [0, 1].
        is_rest = squares <= _FLAT * (former * former + reward * reward)
        self._squares = 0.0 if is_rest else squares
        self._within = max(0.0, self._within + within)
        self._refresh()

    def expect(self, mean: float, deviation: float) -> None:
        """Count one reward of which mean and standard deviation are expected."""
        step, before = mean - self.mean, self.count
        self.count += 1
        self.mean += step / self.count
        self._squares += deviation**2 + step**2 * before / self.count
        self._refresh()

    @property
    def deviation(self) -> float:
        """Sample standard deviation; 0 for fewer than two rewards."""
        return math.sqrt(self._squares / (self.count - 1)) if self.count > 1 else 0.0

    @property
    def noise(self) -> float:
        """Standard deviation of an arm's rewards, mapped; SPREAD while rewards do not differ."""
        if not self._slope:
            return SPREAD
        squares = self._within + NOISE_WEIGHT * self.deviation**2
        return math.sqrt(squares / (self._repeats + NOISE_WEIGHT)) * self._slope

    def unit(self, reward: float) -> float:
        """Return `reward`, or a mean of rewards, mapped to [0, 1]."""
        unit = self._offset + reward * self._slope
        return 0.0 if unit < 0 else 1.0 if unit > 1 else unit

    def excess(self, total: float, count: float) -> float:
        """Return the sum of `count` rewards, each mapped and less 0.5, of which `total` is the sum.

        Rewards are not clipped, so that this holds for weighted sums too.
        """
        return total * self._slope + count * (self._offset - 0.5)

    def units(self, rewards: Sequence[float]) -> tuple[float, ...]:
        """Return each of `rewards` mapped to [0, 1]."""
        offset, slope = self._offset, self._slope
        # Clipped by comparisons in one pass: a selection maps the windows of all arms.
        return tuple(
            [
                0.0 if (unit := offset + reward * slope) < 0 else 1.0 if unit > 1 else unit
                for reward in rewards
            ]
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the state for `load_state_dict`, ready for JSON."""
        return {
            "count": self.count,
            "mean": self.mean,
            "squares": self._squares,
            "within": self._within,
            "repeats": self._repeats,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.count = state["count"]
        self.mean = state["mean"]
        self._squares = state["squares"]
        self._within = state["within"]
        self._repeats = state["repeats"]
        self._refresh()

    def _refresh(self) -> None:
        deviation = self.deviation
        # Rounding alone spreads equal rewards this much, and must not be scaled up to [0, 1].
        flat = deviation <= _FLAT * abs(self.mean)
        self._slope = 0.0 if flat else 1 / (SPAN * deviation)
        self._offset = 0.5 - self.mean * self._slope
