"""What one epoch of training gave."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochMetrics:
    """Numbers of one finished epoch; accuracies are fractions in [0, 1], `None` is unknown.

    epoch: number of finished epochs, so 1 after the first.
    global_step: optimizer steps taken since the start.
    """

    epoch: int
    global_step: int
    val_loss: float
    val_accuracy: float | None = None
    train_loss: float | None = None
    train_accuracy: float | None = None
