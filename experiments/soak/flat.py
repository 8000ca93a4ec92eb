"""Decide whether a series is flat, by its Theil-Sen slope with a bootstrap interval.

    slope = median over pairs i < j of (y_j - y_i) / (j - i)      (Theil 1950, Sen 1968)

The first part of a series is its warm-up and is left out.  A series is flat if the interval of its
slope includes 0 or less, or if its growth over the whole length, at the upper end of the interval,
is below the allowed share of its median.  The second rule is needed because memory grows in steps:
neighbouring samples are alike, so intervals are too narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WARM_UP = 0.2
"""Share of the samples before caches are full and the allocator has settled."""
RESAMPLES = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Growth of a series after its warm-up.

    growth, low, high: slope times length, with its 95 % interval, as shares of the median.
    allowed: largest share that counts as flat.
    """

    median: float
    growth: float
    low: float
    high: float
    allowed: float

    @property
    def is_flat(self) -> bool:
        """True if the series does not grow, or by less than `allowed`."""
        return self.low <= 0 or self.high < self.allowed


def settled(values: Sequence[float]) -> Sequence[float]:
    """Return a series without its warm-up."""
    return values[int(len(values) * WARM_UP) :]


def drift(values: Sequence[float], allowed: float) -> Drift:
    """Return the growth of a series after its warm-up."""
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
    """Return highest minus lowest value after the warm-up."""
    rest = settled(values)
    return max(rest) - min(rest)


def _slope(times: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    """Return the median slope over all pairs that differ in time, 0 if there are none."""
    apart = np.subtract.outer(times, times)
    later = apart > 0
    if not later.any():
        return 0.0
    rises = np.subtract.outer(values, values)
    return float(np.median(rises[later] / apart[later]))
