"""Convert an observation to the 27 numbers that learned policies read.

Raw values are in natural units, and NaN is unknown.  `scale.scaled` brings them to [-1, 1].
"""

import math
from collections.abc import Sequence

from esper.contracts.observation import Observation
from esper.contracts.slot import SeedState, SlotState
from esper.contracts.stage import STAGE_NUMBERS, SeedStage
from esper.signals.scale import Column, Scale, change, count, loss, share

HISTORY = 5
"""Number of past losses, and of past accuracies, among the features."""


class Feature(Column):
    """The features in their order.  Deltas are now minus an epoch ago.

    `*_AGO_4` is the value of four epochs ago, `*_AGO_0` this epoch's.  SEED_STAGE to IMPROVEMENT
    describe the live seed furthest in its lifecycle and are unknown if none is live.
    AVAILABLE_SLOTS counts slots that have a dormant seed and are not at rest.
    """

    EPOCH = count(1_000)
    GLOBAL_STEP = count(1_000_000)
    TRAIN_LOSS = loss()
    VAL_LOSS = loss()
    LOSS_DELTA = change(-0.5)
    TRAIN_ACCURACY = share()
    VAL_ACCURACY = share()
    ACCURACY_DELTA = change(0.1)
    PLATEAU_EPOCHS = count(100)
    BEST_VAL_ACCURACY = share()
    BEST_VAL_LOSS = loss()
    VAL_LOSS_AGO_4 = loss()
    VAL_LOSS_AGO_3 = loss()
    VAL_LOSS_AGO_2 = loss()
    VAL_LOSS_AGO_1 = loss()
    VAL_LOSS_AGO_0 = loss()
    VAL_ACCURACY_AGO_4 = share()
    VAL_ACCURACY_AGO_3 = share()
    VAL_ACCURACY_AGO_2 = share()
    VAL_ACCURACY_AGO_1 = share()
    VAL_ACCURACY_AGO_0 = share()
    HAS_LIVE_SEED = share()
    SEED_STAGE = Scale(centre=3.0, spread=2.0)
    EPOCHS_IN_STAGE = count(30)
    ALPHA = share()
    IMPROVEMENT = change(0.1)
    AVAILABLE_SLOTS = count(1_000)


def furthest_seed(live: Sequence[SeedState]) -> SeedState | None:
    """Return the first of the live seeds that are furthest in their lifecycle."""
    return max(live, key=lambda seed: STAGE_NUMBERS[seed.stage], default=None)


def is_available(slot: SlotState, epoch: int) -> bool:
    """Return whether the slot is not at rest and has a dormant seed."""
    return epoch >= slot.rests_until and any(s.stage is SeedStage.DORMANT for s in slot.seeds)


def feature_vector(observation: Observation) -> list[float]:
    """Return the raw features in the order of `Feature`; NaN is unknown or not finite."""
    metrics = observation.metrics
    seed = furthest_seed(observation.live_seeds)
    # Padded with unknown values while the run is shorter than the history.
    losses = ([None] * HISTORY + list(observation.val_losses))[-HISTORY:]
    accuracies = ([None] * HISTORY + list(observation.val_accuracies))[-HISTORY:]
    values = [
        metrics.epoch,
        metrics.global_step,
        metrics.train_loss,
        metrics.val_loss,
        observation.loss_delta,
        metrics.train_accuracy,
        metrics.val_accuracy,
        observation.accuracy_delta,
        observation.plateau_epochs,
        observation.best_val_accuracy,
        observation.best_val_loss,
        *losses,
        *accuracies,
        seed is not None,
        *(
            [None] * 4
            if seed is None
            else [STAGE_NUMBERS[seed.stage], seed.epochs_in_stage, seed.alpha, seed.improvement]
        ),
        sum(is_available(slot, observation.epoch) for slot in observation.slots),
    ]
    return [number(value) for value in values]


def number(value: float | None) -> float:
    """Return the value as a float, NaN when it is unknown or not finite."""
    return float(value) if value is not None and math.isfinite(value) else math.nan
