"""The input of a policy: the run's recent past and the state of every slot."""

import math
from dataclasses import dataclass

from esper.contracts.data_flow import DataFlow
from esper.contracts.metrics import EpochMetrics
from esper.contracts.slot import SeedState, SlotState


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedWindow:
    """The gains of a live seed's present activation, one an epoch, oldest first.

    gains: last `history_window` values of `SeedState.gain`; None is not measured.
    """

    slot: str
    seed: int
    activation: int
    gains: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The mean of neighbouring points of a loss curve.

    start: FLOPs of the first of them; FLOPs count from the last change of the network's size.
    flops, loss: means of their FLOPs and losses.
    count: number of points in the mean.
    """

    start: float
    flops: float
    loss: float
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A run at the end of an epoch.  Histories are oldest first and bounded.

    epochs: the run's budget in epochs.
    plateau_epochs: consecutive epochs whose smoothed improvement stayed under the threshold.
    may_grow: True while enough epochs are left for a trial, and growth has not been ended.
    may_blend_again: True while a kernel that blends again now gets a look in time.
    affordable_flops: most forward FLOPs a sample of kernels that may germinate now; at most 0 if
        the budget of `safety.max_cost` holds no further trial.
    loss_delta, accuracy_delta: validation value now minus an epoch ago.
    train_losses, val_losses, val_accuracies: last `history_window` values, this epoch's included.
    seed_windows: one for each live seed, by slot and seed order.
    is_suspect: True when the governor suspects that the network is damaged.
    events_left: growth events that `safety.max_events` leaves; None without a limit.
    max_uncertainty, max_risk: those of `safety`, beyond which a request is refused.
    curve: the loss over the FLOPs of training at the present size; the size changes when a seed is
        fossilized, or a fossilized one is taken out.
    curve_source: `training`, or `validation` while no training loss is known.
    part_losses: finite training losses of the parts of each of the last `history_window` epochs.
    data_flow: between the slots; None if nothing reads health.
    doublings: of the whole host's width for which the policy asked.
    """

    metrics: EpochMetrics
    epochs: int
    may_grow: bool
    plateau_epochs: int
    loss_delta: float | None
    accuracy_delta: float | None
    best_val_accuracy: float | None
    best_val_loss: float | None
    train_losses: tuple[float | None, ...]
    val_losses: tuple[float, ...]
    val_accuracies: tuple[float | None, ...]
    slots: tuple[SlotState, ...]
    seed_windows: tuple[SeedWindow, ...] = ()
    is_suspect: bool = False
    may_blend_again: bool = True
    affordable_flops: float = math.inf
    events_left: int | None = None
    max_uncertainty: float = 1.0
    max_risk: float = 1.0
    curve: tuple[CurvePoint, ...] = ()
    curve_source: str = "validation"
    part_losses: tuple[tuple[float, ...], ...] = ()
    data_flow: DataFlow | None = None
    doublings: int = 0

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return self.metrics.epoch

    @property
    def live_seeds(self) -> tuple[SeedState, ...]:
        """Every live seed, by slot and seed order."""
        return tuple(seed for slot in self.slots for seed in slot.live)

    def slot(self, name: str) -> SlotState:
        """Return the slot called `name`, or raise KeyError."""
        for slot in self.slots:
            if slot.spec.name == name:
                return slot
        raise KeyError(name)
