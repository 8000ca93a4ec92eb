"""Options of the signals: how far back a policy looks, and what counts as a plateau."""

from dataclasses import dataclass

from esper.contracts.checks import require


@dataclass(frozen=True)
class Signals:
    """How the past of a run is summarised.

    history_window: epochs that a policy sees; the policy's slope needs twice its window.
    plateau_threshold: an epoch is flat while the smoothed improvement is under this; a fraction of
        accuracy (0.005 is 0.5 points), or of the loss where no accuracy is known.
    plateau_smoothing: weight of the past in the smoothed improvement, in [0, 1).
    """

    history_window: int = 10
    plateau_threshold: float = 0.005
    plateau_smoothing: float = 0.5

    def __post_init__(self) -> None:
        window, threshold = self.history_window, self.plateau_threshold
        smoothing = self.plateau_smoothing
        require(window >= 2, "signals.history_window", ">= 2", window)
        require(0 < threshold < 1, "signals.plateau_threshold", "in (0, 1)", threshold)
        require(0 <= smoothing < 1, "signals.plateau_smoothing", "in [0, 1)", smoothing)
