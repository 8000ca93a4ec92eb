"""Derive observations from metrics: histories, deltas, best values, plateau."""

import math
from collections import deque
from dataclasses import asdict
from typing import Any

from esper.contracts.metrics import EpochMetrics
from esper.contracts.observation import Observation, SeedWindow
from esper.contracts.slot import SlotState
from esper.contracts.stage import SeedStage
from esper.signals.curve import LossCurve, parts
from esper.signals.options import Signals
from esper.signals.plateau import Plateau
from esper.signals.windows import extended, finite_or_none


class SignalTracker:
    """Keeps the part of a run's past that a policy sees.

    A number that is not finite is unknown: deltas and best values ignore it, and the histories
    hold None for it (NaN among the validation losses).
    """

    def __init__(self, options: Signals) -> None:
        self._options = options
        window = options.history_window
        self._train_losses: deque[float | None] = deque(maxlen=window)
        self._part_losses: deque[tuple[float, ...]] = deque(maxlen=window)
        self._val_losses: deque[float | None] = deque(maxlen=window)
        self._val_accuracies: deque[float | None] = deque(maxlen=window)
        self._best_val_loss: float | None = None
        self._best_val_accuracy: float | None = None
        self._plateau = Plateau()
        self._seed_windows: tuple[SeedWindow, ...] = ()
        self._curve = LossCurve()

    def update(
        self,
        metrics: EpochMetrics,
        slots: tuple[SlotState, ...],
        epochs: int,
        *,
        may_grow: bool,
        is_suspect: bool = False,
        affordable_flops: float = math.inf,
    ) -> Observation:
        """Add one finished epoch and return its observation; arguments as in `Observation`."""
        options = self._options
        last_loss = self._val_losses[-1] if self._val_losses else None
        last_accuracy = self._val_accuracies[-1] if self._val_accuracies else None
        val_loss = finite_or_none(metrics.val_loss)
        val_accuracy = finite_or_none(metrics.val_accuracy)
        loss_delta = _difference(val_loss, last_loss)
        accuracy_delta = _difference(val_accuracy, last_accuracy)
        self._train_losses.append(finite_or_none(metrics.train_loss))
        self._part_losses.append(tuple(filter(math.isfinite, parts(metrics))))
        self._curve.add(metrics, _num_fossilized(slots))
        self._val_losses.append(val_loss)
        self._val_accuracies.append(val_accuracy)
        self._plateau = self._plateau.after(
            _improvement(accuracy_delta, val_loss, last_loss),
            options.plateau_threshold,
            options.plateau_smoothing,
        )
        losses = (loss for loss in (val_loss, self._best_val_loss) if loss is not None)
        self._best_val_loss = min(losses, default=None)
        accuracies = (a for a in (val_accuracy, self._best_val_accuracy) if a is not None)
        self._best_val_accuracy = max(accuracies, default=None)
        self._seed_windows = extended(self._seed_windows, slots, options.history_window)
        return Observation(
            metrics=metrics,
            epochs=epochs,
            may_grow=may_grow,
            is_suspect=is_suspect,
            affordable_flops=affordable_flops,
            plateau_epochs=self._plateau.epochs,
            loss_delta=loss_delta,
            accuracy_delta=accuracy_delta,
            best_val_accuracy=self._best_val_accuracy,
            best_val_loss=self._best_val_loss,
            train_losses=tuple(self._train_losses),
            val_losses=tuple(math.nan if loss is None else loss for loss in self._val_losses),
            val_accuracies=tuple(self._val_accuracies),
            slots=slots,
            seed_windows=self._seed_windows,
            curve=self._curve.points,
            curve_source=self._curve.source,
            part_losses=tuple(self._part_losses),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the state, ready for JSON and without NaN."""
        return {
            "train_losses": list(self._train_losses),
            "part_losses": [list(losses) for losses in self._part_losses],
            "val_losses": list(self._val_losses),
            "val_accuracies": list(self._val_accuracies),
            "best_val_loss": self._best_val_loss,
            "best_val_accuracy": self._best_val_accuracy,
            "plateau": asdict(self._plateau),
            "seed_windows": [asdict(window) for window in self._seed_windows],
            "curve": self._curve.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned; a shorter window keeps the latest values."""
        window = self._options.history_window
        self._train_losses = deque(state["train_losses"], maxlen=window)
        self._part_losses = deque(map(tuple, state["part_losses"]), maxlen=window)
        self._val_losses = deque(state["val_losses"], maxlen=window)
        self._val_accuracies = deque(state["val_accuracies"], maxlen=window)
        self._best_val_loss = state["best_val_loss"]
        self._best_val_accuracy = state["best_val_accuracy"]
        self._plateau = Plateau(**state["plateau"])
        self._seed_windows = tuple(
            SeedWindow(**{**saved, "gains": tuple(saved["gains"])})
            for saved in state["seed_windows"]
        )
        self._curve.load_state_dict(state["curve"])


def _num_fossilized(slots: tuple[SlotState, ...]) -> int:
    seeds = (seed for slot in slots for seed in slot.seeds)
    return sum(seed.stage is SeedStage.FOSSILIZED for seed in seeds)


def _difference(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else finite_or_none(now - before)


def _improvement(
    accuracy_delta: float | None, val_loss: float | None, last_loss: float | None
) -> float | None:
    """Return the rise in accuracy, or without one the relative fall of the loss."""
    if accuracy_delta is not None:
        return accuracy_delta
    if val_loss is None or last_loss is None:
        return None
    larger = max(abs(last_loss), abs(val_loss))
    # Relative to the larger loss it stays in [-2, 2]; relative to the last it might overflow.
    return (last_loss - val_loss) / larger if larger else 0.0
