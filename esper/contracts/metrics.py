"""The numbers of one epoch of training."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochMetrics:
    """Numbers of one finished epoch; accuracies are fractions in [0, 1], `None` is unknown.

    epoch: number of finished epochs, so 1 after the first.
    global_step: optimizer steps taken since the start.
    part_losses: training losses of equal parts of the epoch, in order; () when unknown.
    first_loss: training loss of the epoch's first step.
    train_flops: cost of training this epoch, in any unit, > 0; only ratios between epochs count.
    """

    epoch: int
    global_step: int
    val_loss: float
    val_accuracy: float | None = None
    train_loss: float | None = None
    train_accuracy: float | None = None
    part_losses: tuple[float, ...] = ()
    first_loss: float | None = None
    train_flops: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """Report of one epoch of training; a user's own loop may leave fields unknown.

    loss, accuracy: means over the epoch's samples.
    losses: mean losses of equal parts of the epoch, in order; without them `loss` is one part.
    first_loss: loss of the first step, before its update.
    num_samples: samples trained on, for the count of FLOPs.
    num_steps: optimizer steps taken.
    busy_ms: time spent in forward, backward and optimizer.
    learning_rate: the host's at the end of the epoch.
    is_finite: False when a loss, or a gradient of the network, was not finite.
    """

    loss: float | None = None
    accuracy: float | None = None
    losses: tuple[float, ...] = ()
    first_loss: float | None = None
    num_samples: int | None = None
    num_steps: int | None = None
    busy_ms: float | None = None
    learning_rate: float | None = None
    is_finite: bool = True

    def metrics(
        self,
        epoch: int,
        global_step: int,
        val_loss: float,
        val_accuracy: float | None,
        train_flops: float,
    ) -> EpochMetrics:
        """Return the numbers of the epoch, with those of its evaluation."""
        return EpochMetrics(
            epoch=epoch,
            global_step=global_step,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            train_loss=self.loss,
            train_accuracy=self.accuracy,
            part_losses=tuple(map(float, self.losses)),
            first_loss=self.first_loss,
            train_flops=train_flops,
        )
