"""Write an observation as the 27 numbers that learned policies read.

Raw values are in natural units, and NaN is unknown.  `scale.scaled` brings them to [-1, 1].
"""

import math
from collections.abc import Sequence
from enum import IntEnum, auto

from esper.contracts.observation import Observation
from esper.contracts.slot import SeedState, SlotState
from esper.contracts.stage import SeedStage
from esper.signals.scale import Scale, change, count, loss, share

HISTORY = 5
"""How many losses and accuracies of the past are features."""

STAGE_NUMBERS = {stage: float(place) for place, stage in enumerate(SeedStage)}
"""The number of each stage as a feature: its place in the lifecycle."""


class Feature(IntEnum):
    """The features in their order.  Deltas are now minus an epoch ago.

    `*_AGO_4` is the value of four epochs ago, `*_AGO_0` this epoch's.  SEED_STAGE to IMPROVEMENT
    describe the live seed furthest in its lifecycle and are unknown where none is live.
    AVAILABLE_SLOTS counts slots that have a dormant seed and are not at rest.
    """

    EPOCH = 0
    GLOBAL_STEP = auto()
    TRAIN_LOSS = auto()
    VAL_LOSS = auto()
    LOSS_DELTA = auto()
    TRAIN_ACCURACY = auto()
    VAL_ACCURACY = auto()
    ACCURACY_DELTA = auto()
    PLATEAU_EPOCHS = auto()
    BEST_VAL_ACCURACY = auto()
    BEST_VAL_LOSS = auto()
    VAL_LOSS_AGO_4 = auto()
    VAL_LOSS_AGO_3 = auto()
    VAL_LOSS_AGO_2 = auto()
    VAL_LOSS_AGO_1 = auto()
    VAL_LOSS_AGO_0 = auto()
    VAL_ACCURACY_AGO_4 = auto()
    VAL_ACCURACY_AGO_3 = auto()
    VAL_ACCURACY_AGO_2 = auto()
    VAL_ACCURACY_AGO_1 = auto()
    VAL_ACCURACY_AGO_0 = auto()
    HAS_LIVE_SEED = auto()
    SEED_STAGE = auto()
    EPOCHS_IN_STAGE = auto()
    ALPHA = auto()
    IMPROVEMENT = auto()
    AVAILABLE_SLOTS = auto()


FEATURE_SCALES: tuple[Scale, ...] = (
    count(1_000),
    count(1_000_000),
    loss(),
    loss(),
    change(-0.5),
    share(),
    share(),
    change(0.1),
    count(100),
    share(),
    loss(),
    *[loss()] * HISTORY,
    *[share()] * HISTORY,
    share(),
    Scale(centre=3.0, spread=2.0),
    count(30),
    share(),
    change(0.1),
    count(1_000),
)
"""The scale of each feature, in the order of `Feature`."""


def furthest_seed(live: Sequence[SeedState]) -> SeedState | None:
    """Return the first of the live seeds that are furthest in their lifecycle."""
    return max(live, key=lambda seed: STAGE_NUMBERS[seed.stage], default=None)


def is_available(slot: SlotState, epoch: int) -> bool:
    """Return True if the slot is not at rest and has a dormant seed."""
    return epoch >= slot.rests_until and any(s.stage is SeedStage.DORMANT for s in slot.seeds)


def feature_vector(observation: Observation) -> list[float]:
    """Return the raw features in the order of `Feature`; NaN is unknown, and so is infinity."""
    metrics = observation.metrics
    seed = furthest_seed(observation.live_seeds)
    # Unknown where the run is younger than the history.
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
