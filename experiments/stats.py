"""Statistics of paired runs: bootstrap intervals over rng seeds, and intervals of rates.

IQM: the mean of the middle half (Agarwal et al. 2021, arXiv:2108.13264).  Intervals are percentile
bootstraps of 10,000 resamples with a fixed generator.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
Z_95 = 1.959964


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


def iqm(values: NDArray[np.float64]) -> float:
    """Return the interquartile mean."""
    ordered = np.sort(values)
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def bootstrap(
    values: Sequence[float], statistic: Callable[[NDArray[np.float64]], float] = np.mean
) -> Interval:
    """Return a statistic of `values` with its bootstrap interval."""
    array = np.asarray(values, dtype=np.float64)
    picks = np.random.default_rng(0).integers(0, len(array), (RESAMPLES, len(array)))
    resampled = [statistic(array[pick]) for pick in picks]
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Interval(float(statistic(array)), float(low), float(high))


def stratified(groups: Sequence[Sequence[float]]) -> Interval:
    """Return the mean of the groups' means; the bootstrap resamples within each group."""
    rng = np.random.default_rng(0)
    means, resampled = [], []
    for group in groups:
        array = np.asarray(group, dtype=np.float64)
        means.append(array.mean())
        picks = rng.integers(0, len(array), (RESAMPLES, len(array)))
        resampled.append(array[picks].mean(axis=1))
    low, high = np.percentile(np.mean(resampled, axis=0), [2.5, 97.5])
    return Interval(float(np.mean(means)), float(low), float(high))


def probability_of_improvement(differences: Sequence[float]) -> float:
    """Return the share of positive differences; a tie counts as a half."""
    array = np.asarray(differences)
    return float((array > 0).mean() + (array == 0).mean() / 2)


def rate(successes: int, trials: int) -> Interval:
    """Return a rate with its Wilson interval (Wilson 1927)."""
    share = successes / trials
    z2 = Z_95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    spread = share * (1 - share) / trials + z2 / (4 * trials**2)
    half = Z_95 * math.sqrt(spread) / (1 + z2 / trials)
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))
