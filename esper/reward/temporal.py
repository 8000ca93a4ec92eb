"""The gain of a seed over time, as one weighted mean.

    value = sum_w weight_w * mean gain of window w / sum_w weight_w,   w over the windows measured

The windows are the first look at a trial, its later looks, and those after the kernel was kept (see
`WINDOWS`).  Both sums skip windows without a measurement, such as those not yet due.
"""

from collections.abc import Mapping
from statistics import fmean

from esper.contracts.outcome import Outcome


def age(outcome: Outcome) -> int:
    """Return the epochs from germination to settlement, at least 1."""
    return max(1, outcome.settled_epoch - outcome.germinated_epoch)


def weighted_gain(outcome: Outcome, weights: Mapping[str, float]) -> float | None:
    """Return the temporally weighted relative gain, None when the gain was never measured.

    An outcome that names no look counts its settled gain in full.

    Args:
        outcome: the settled activation.
        weights: weight > 0 of each of `WINDOWS`.
    """
    if outcome.gain is None or not outcome.gains:
        return outcome.gain
    measured = {
        window: [point.gain for point in outcome.gains if point.window == window]
        for window in weights
    }
    due = [(fmean(gains), weights[window]) for window, gains in measured.items() if gains]
    return sum(mean * weight for mean, weight in due) / sum(weight for _, weight in due)
