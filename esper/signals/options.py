"""Options of the signals: the window of the histories, the plateau, and the probe."""

from dataclasses import dataclass

from esper.contracts.checks import require, require_types


@dataclass(frozen=True)
class Signals:
    """Options of the summary of a run's past.

    history_window: epochs that a policy sees; the policy's slope needs twice its window.
    plateau_threshold: an epoch is flat while the smoothed improvement is under this; a fraction of
        accuracy (0.005 is 0.5 points), or of the loss if no accuracy is known.
    plateau_smoothing: weight of the past in the smoothed improvement, in [0, 1).
    probe_every: epochs from one probe of the slots' health to the next; only policies that read
        health have any.
    """

    history_window: int = 10
    plateau_threshold: float = 0.005
    plateau_smoothing: float = 0.5
    probe_every: int = 3

    def __post_init__(self) -> None:
        require_types(self, "signals")
        threshold, smoothing = self.plateau_threshold, self.plateau_smoothing
        require(self.history_window >= 2, "signals.history_window", ">= 2", self.history_window)
        require(0 < threshold < 1, "signals.plateau_threshold", "in (0, 1)", threshold)
        require(0 <= smoothing < 1, "signals.plateau_smoothing", "in [0, 1)", smoothing)
        require(self.probe_every >= 1, "signals.probe_every", ">= 1", self.probe_every)
