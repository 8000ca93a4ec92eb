"""Count the epochs in which a network no longer improves.

The improvement x of an epoch is smoothed by an exponential moving average with weight s on the
past, corrected for its start at 0 (as in Adam, Kingma and Ba 2015):

    m_t = s m_{t-1} + (1 - s) x_t,    smoothed_t = m_t / (1 - s^t)
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plateau:
    """Smoothed improvement, and the number of epochs that it has been under a threshold.

    average: m_t.
    remaining_bias: s^t.
    epochs: consecutive epochs under the threshold.
    """

    average: float = 0.0
    remaining_bias: float = 1.0
    epochs: int = 0

    def after(self, improvement: float | None, threshold: float, smoothing: float) -> "Plateau":
        """Return the plateau after one more epoch; an unknown improvement changes nothing."""
        if improvement is None:
            return self
        average = smoothing * self.average + (1 - smoothing) * improvement
        remaining_bias = self.remaining_bias * smoothing
        is_flat = average / (1 - remaining_bias) < threshold
        return Plateau(average, remaining_bias, self.epochs + 1 if is_flat else 0)
