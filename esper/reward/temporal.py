"""The gain of a seed over time, as one number.

    value = sum_w weight_w * mean gain of window w / sum_w weight_w,   w over the windows measured

Windows are spans of epochs since germination: immediate, short, medium, long.  Windows without a
measurement are left out of both sums.  The settled gain is one more measurement, at the age at
which it settled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from esper.contracts.outcome import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Spans of epochs since germination and their weights.

    until: last epoch of every window but the last, which has no end; rising.
    weights: one more than `until`, each > 0.
    """

    until: tuple[int, ...]
    weights: tuple[float, ...]

    def index(self, epochs_since: int) -> int:
        """Return the window in which an epoch since germination lies."""
        return sum(epochs_since > end for end in self.until)


def age(outcome: Outcome) -> int:
    """Return the epochs from germination to settlement, at least 1."""
    return max(1, outcome.settled_epoch - outcome.germinated_epoch)


def weighted_gain(outcome: Outcome, windows: Windows) -> float | None:
    """Return the temporally weighted relative gain, None when the gain was never measured."""
    if outcome.gain is None:
        return None
    samples: list[list[float]] = [[] for _ in windows.weights]
    for point in outcome.gains:
        samples[windows.index(point.epochs_since)].append(point.gain)
    samples[windows.index(age(outcome))].append(outcome.gain)
    return _weighted_mean(samples, windows.weights)


def _weighted_mean(samples: Sequence[Sequence[float]], weights: Sequence[float]) -> float:
    """Return the weighted mean of the windows' means; windows without samples are left out."""
    due = [(fmean(values), w) for values, w in zip(samples, weights, strict=True) if values]
    return sum(mean * w for mean, w in due) / sum(w for _, w in due)
