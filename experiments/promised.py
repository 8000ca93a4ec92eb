"""How well expected gains agree with measured ones over many runs, and how well they could.

A measured gain is the true one plus an error, so that no expectation agrees with it better than by

    ceiling = sqrt(reliability),  reliability = 1 - mean(error^2) / variance of the measured gains

(Spearman 1904, attenuation).  The error is the standard error over validation samples alone; what
the training of a kernel and its twin adds by chance is not in it, so the true ceiling is lower.
"""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from esper.strategy.agreement import Agreement
from experiments.stats import Interval, bootstrap


class Pair(NamedTuple):
    """What was expected of a trial and what came of it, as relative gains.

    error: standard error of `gain`, None when unknown.
    """

    expected: float
    gain: float
    error: float | None


Runs = Sequence[Sequence[Pair]]


def pairs_of(events: Sequence[dict[str, Any]]) -> list[Pair]:
    """Return the pairs of a run, those that count in its summary's `expected_vs_measured`."""
    settled = [
        event["outcome"]
        for event in events
        if event["kind"] == "reward" and event["epochs_after_keeping"] is None
    ]
    return [
        Pair(outcome["expected_gain"], outcome["gain"], outcome["gain_error"])
        for outcome in settled
        if not outcome["rolled_back"]
        and outcome["expected_gain"] is not None
        and outcome["gain"] is not None
    ]


def agreement(runs: Runs) -> dict[str, Any]:
    """Return Pearson's correlations over the pairs of runs, with their ceilings.

    `pooled` is over all pairs, `within` over their differences to the mean of their run.  Intervals
    resample runs.  A correlation or ceiling that the pairs do not determine is None.
    """
    known = [run for run in runs if run]
    several = [run for run in runs if len(run) > 1]
    pooled = [np.array([(pair.expected, pair.gain) for pair in run]) for run in known]
    within = [points - points.mean(axis=0) for points in pooled if len(points) > 1]
    return {
        "runs": len(known),
        "pooled": _row(pooled, reliability([list(chain(*known))])),
        "within": _row(within, reliability(several)),
    }


def reliability(groups: Runs) -> float | None:
    """Return the share of the variance of gains, within groups, that is no error; None if unknown.

    It is negative when the errors are larger than the differences that they should explain.
    """
    gains = [np.array([pair.gain for pair in group]) for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in gains)
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in gains)
    errors = [pair.error for group in groups if len(group) > 1 for pair in group]
    known = [error for error in errors if error is not None]
    if not known or squares <= 0:
        return None
    return 1 - float(np.mean(np.square(known))) / (squares / freedom)


def _row(groups: Sequence[NDArray[np.float64]], share: float | None) -> dict[str, Any]:
    found = _correlation(groups)
    return {
        "pairs": sum(map(len, groups)),
        "correlation": None if found is None else [found.value, found.low, found.high],
        "reliability": share,
        "ceiling": None if share is None else math.sqrt(max(0.0, share)),
    }


def _correlation(groups: Sequence[NDArray[np.float64]]) -> Interval | None:
    """Return the correlation over all groups; a resample without one counts as 0."""
    if not groups:
        return None
    sums = np.array([_sums(points) for points in groups])

    def correlation(picked: NDArray[np.float64]) -> float | None:
        count, *rest = sums[picked.astype(int)].sum(axis=0)
        return Agreement(int(count), *map(float, rest)).correlation

    everything = np.arange(len(groups), dtype=np.float64)
    if correlation(everything) is None:
        return None
    return bootstrap(everything.tolist(), lambda picked: correlation(picked) or 0.0)


def _sums(points: NDArray[np.float64]) -> list[float]:
    """Return the sums of an `Agreement`, in the order of its fields."""
    x, y = points.T
    return [len(x), x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum()]
