"""Options of the signals: how far a policy looks back and when progress counts as a plateau."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Signals:
    """How the past of a run is summed up.

    history_window: epochs that a policy looks back; the policy's slope needs twice its window.
    plateau_threshold: an epoch is flat while the smoothed improvement is under this; a fraction of
        accuracy (0.005 is 0.5 points), or of the loss where no accuracy is known.
    plateau_smoothing: weight of the past in the smoothed improvement, in [0, 1).
    """

    history_window: int = 10
    plateau_threshold: float = 0.005
    plateau_smoothing: float = 0.5

    def __post_init__(self) -> None:
        if not self.history_window >= 2:
            raise ValueError(f"signals.history_window must be >= 2, got {self.history_window}")
        if not 0 < self.plateau_threshold < 1:
            raise ValueError(
                f"signals.plateau_threshold must be in (0, 1), got {self.plateau_threshold}"
            )
        if not 0 <= self.plateau_smoothing < 1:
            raise ValueError(
                f"signals.plateau_smoothing must be in [0, 1), got {self.plateau_smoothing}"
            )
