"""Count the epochs in which a network no longer gets better.

The improvement x of an epoch is smoothed by an exponential moving average with weight s on the
past, corrected for its start at 0 (as in Adam, Kingma and Ba 2015):

    m_t = s m_{t-1} + (1 - s) x_t,    smoothed_t = m_t / (1 - s^t)
"""

from typing import Any


class PlateauCounter:
    """Counts consecutive epochs whose smoothed improvement is under a threshold."""

    def __init__(self, threshold: float, smoothing: float) -> None:
        self._threshold = threshold
        self._smoothing = smoothing
        self._average = 0.0
        self._remaining_bias = 1.0
        self.epochs = 0

    def update(self, improvement: float | None) -> int:
        """Return the count after one more epoch.

        An epoch whose improvement is unknown is neither progress nor plateau: the count stays.
        """
        if improvement is None:
            return self.epochs
        self._average = self._smoothing * self._average + (1 - self._smoothing) * improvement
        self._remaining_bias *= self._smoothing
        smoothed = self._average / (1 - self._remaining_bias)
        self.epochs = self.epochs + 1 if smoothed < self._threshold else 0
        return self.epochs

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, ready for JSON."""
        return {
            "average": self._average,
            "remaining_bias": self._remaining_bias,
            "epochs": self.epochs,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        self._average = state["average"]
        self._remaining_bias = state["remaining_bias"]
        self.epochs = state["epochs"]
