"""Turn the metrics of each epoch into what a policy sees: recent past, deltas, bests, plateau."""

import math
from collections import deque
from typing import Any

from esper.contracts.metrics import EpochMetrics
from esper.contracts.observation import Observation
from esper.contracts.slot import SlotState
from esper.signals.options import Signals
from esper.signals.plateau import PlateauCounter
from esper.signals.windows import SeedWindows, finite_or_none


class SignalTracker:
    """Remembers as much of a run as a policy may see.

    A number that is not finite is unknown: it is kept out of deltas and best values, and stands as
    None in the histories (as NaN among the validation losses, which have no None).
    """

    def __init__(self, options: Signals) -> None:
        window = options.history_window
        self._train_losses: deque[float | None] = deque(maxlen=window)
        self._val_losses: deque[float | None] = deque(maxlen=window)
        self._val_accuracies: deque[float | None] = deque(maxlen=window)
        self._best_val_loss: float | None = None
        self._best_val_accuracy: float | None = None
        self._plateau = PlateauCounter(options.plateau_threshold, options.plateau_smoothing)
        self._seed_windows = SeedWindows(window)

    def update(
        self, metrics: EpochMetrics, slots: tuple[SlotState, ...], epochs: int, may_grow: bool
    ) -> Observation:
        """Take in one finished epoch and return what a policy sees of it.

        Args:
            metrics: numbers of the epoch.
            slots: every slot as it stands at its end.
            epochs: the run's budget in epochs.
            may_grow: True while germination is allowed.
        """
        last_loss = self._val_losses[-1] if self._val_losses else None
        last_accuracy = self._val_accuracies[-1] if self._val_accuracies else None
        val_loss, val_accuracy = (
            finite_or_none(metrics.val_loss),
            finite_or_none(metrics.val_accuracy),
        )
        loss_delta = _difference(val_loss, last_loss)
        accuracy_delta = _difference(val_accuracy, last_accuracy)
        self._train_losses.append(finite_or_none(metrics.train_loss))
        self._val_losses.append(val_loss)
        self._val_accuracies.append(val_accuracy)
        self._best_val_loss = _best(min, val_loss, self._best_val_loss)
        self._best_val_accuracy = _best(max, val_accuracy, self._best_val_accuracy)
        return Observation(
            metrics=metrics,
            epochs=epochs,
            may_grow=may_grow,
            plateau_epochs=self._plateau.update(_improvement(accuracy_delta, val_loss, last_loss)),
            loss_delta=loss_delta,
            accuracy_delta=accuracy_delta,
            best_val_accuracy=self._best_val_accuracy,
            best_val_loss=self._best_val_loss,
            train_losses=tuple(self._train_losses),
            val_losses=tuple(math.nan if loss is None else loss for loss in self._val_losses),
            val_accuracies=tuple(self._val_accuracies),
            slots=slots,
            seed_windows=self._seed_windows.update(slots),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, ready for JSON; nothing in it is NaN."""
        return {
            "train_losses": list(self._train_losses),
            "val_losses": list(self._val_losses),
            "val_accuracies": list(self._val_accuracies),
            "best_val_loss": self._best_val_loss,
            "best_val_accuracy": self._best_val_accuracy,
            "plateau": self._plateau.state_dict(),
            "seed_windows": self._seed_windows.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned; a shorter window keeps the latest values."""
        window = self._val_losses.maxlen
        self._train_losses = deque(state["train_losses"], maxlen=window)
        self._val_losses = deque(state["val_losses"], maxlen=window)
        self._val_accuracies = deque(state["val_accuracies"], maxlen=window)
        self._best_val_loss = state["best_val_loss"]
        self._best_val_accuracy = state["best_val_accuracy"]
        self._plateau.load_state_dict(state["plateau"])
        self._seed_windows.load_state_dict(state["seed_windows"])


def _difference(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else finite_or_none(now - before)


def _best(better: Any, now: float | None, best: float | None) -> float | None:
    values = [value for value in (now, best) if value is not None]
    return better(values) if values else None


def _improvement(
    accuracy_delta: float | None, val_loss: float | None, last_loss: float | None
) -> float | None:
    """Return the rise in accuracy, else the fall of the loss as a share of the larger one."""
    if accuracy_delta is not None:
        return accuracy_delta
    if val_loss is None or last_loss is None:
        return None
    larger = max(abs(last_loss), abs(val_loss))
    # A share of the larger one stays in [-2, 2]; of the last one it might overflow near 0.
    return (last_loss - val_loss) / larger if larger else 0.0
