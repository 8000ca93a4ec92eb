"""The gain of a seed over time, as one weighted mean.

    value = sum_w weight_w * mean gain of window w / sum_w weight_w,   w over the windows measured

Windows are spans of epochs since germination: immediate, short, medium, long.  Both sums skip
windows without a measurement.  The settled gain is one more measurement, at the age of settlement.
"""

from collections.abc import Sequence
from statistics import fmean

from esper.contracts.outcome import Outcome


def age(outcome: Outcome) -> int:
    """Return the epochs from germination to settlement, at least 1."""
    return max(1, outcome.settled_epoch - outcome.germinated_epoch)


def weighted_gain(outcome: Outcome, until: Sequence[int], weights: Sequence[float]) -> float | None:
    """Return the temporally weighted relative gain, None when the gain was never measured.

    Args:
        outcome: the settled activation.
        until: last epoch since germination of every window but the last, which has no end; rising.
        weights: weight of each window, > 0; one more than `until`.
    """
    if outcome.gain is None:
        return None
    samples: list[list[float]] = [[] for _ in weights]
    for point in outcome.gains:
        samples[_window(point.epochs_since, until)].append(point.gain)
    samples[_window(age(outcome), until)].append(outcome.gain)
    due = [(fmean(gains), w) for gains, w in zip(samples, weights, strict=True) if gains]
    return sum(mean * w for mean, w in due) / sum(w for _, w in due)


def _window(epochs_since: int, until: Sequence[int]) -> int:
    """Return the window in which an epoch since germination lies."""
    return sum(epochs_since > end for end in until)
