"""Is a series flat?  Theil-Sen slope, with a bootstrap interval, over all but its first part.

    slope = median over pairs i < j of (y_j - y_i) / (j - i)      (Theil 1950, Sen 1968)

A series is flat when the interval of its slope reaches down to 0, or when even the interval's upper
end makes less of it, over its whole length, than the allowed share of its median.  The second rule
is there because memory moves in steps: neighbours are alike, so intervals come out too narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WARM_UP = 0.2
"""Share of the samples that come before caches are full and the allocator has settled."""
RESAMPLES = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What became of a series from its first sample after the warm-up to its last.

    growth, low, high: slope times length, with the 95 % interval, as shares of the median.
    allowed: the share that is small enough.
    """

    median: float
    growth: float
    low: float
    high: float
    allowed: float

    @property
    def is_flat(self) -> bool:
        """True when it does not grow, or so little that it does not matter."""
        return self.low <= 0 or self.high < self.allowed


def settled(values: Sequence[float]) -> Sequence[float]:
    """Return a series without its warm-up."""
    return values[int(len(values) * WARM_UP) :]


def drift(values: Sequence[float], allowed: float) -> Drift:
    """Return how a series drifts once it has settled."""
    array = np.asarray(settled(values), dtype=np.float64)
    rng = np.random.default_rng(0)
    picks = np.sort(rng.integers(0, len(array), (RESAMPLES, len(array))))
    slopes = [_slope(pick, array[pick]) for pick in picks]
    low, high = np.percentile(slopes, [2.5, 97.5])
    median = float(np.median(array))
    scale = (len(array) - 1) / median
    return Drift(
        median=median,
        growth=_slope(np.arange(len(array)), array) * scale,
        low=float(low) * scale,
        high=float(high) * scale,
        allowed=allowed,
    )


def spread(values: Sequence[float]) -> float:
    """Return highest minus lowest, once the series has settled."""
    rest = settled(values)
    return max(rest) - min(rest)


def _slope(times: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    """Return the median slope over all pairs that differ in time; 0 where none do."""
    apart = np.subtract.outer(times, times)
    later = apart > 0
    if not later.any():
        return 0.0
    rises = np.subtract.outer(values, values)
    return float(np.median(rises[later] / apart[later]))
