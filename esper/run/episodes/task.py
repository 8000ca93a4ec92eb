"""Draw growth tasks: each integer names one task of a randomised family.

A task is a data set, a host with 6 to 12 slots, perhaps with a bottleneck or damage in one block,
a budget of epochs and of growth events, and a price of FLOPs.  Half of the tasks have scarce
events, one for three slots; the others have one for each slot.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from esper.contracts.slot import SlotKind


class Scenario(StrEnum):
    """The state of the host before its training."""

    HEALTHY = "healthy"
    SMALL = "small"  # every block is narrow
    BOTTLENECK = "bottleneck"  # one block is narrow
    DAMAGED = "damaged"  # one block is damaged


class Damage(StrEnum):
    """What is wrong with a damaged block, whose weights do not learn either."""

    DEAD = "dead"  # most of its hidden units never change
    TINY = "tiny"  # its weights are close to 0
    HUGE = "huge"  # its first weights are far too large
    FROZEN = "frozen"  # nothing else


DATA = {
    SlotKind.DENSE: ("digits", "teacher", "spirals"),
    SlotKind.FEATURE_MAP: ("digits", "textures"),
    SlotKind.SEQUENCE: ("majority", "recall", "source"),
}
"""Data sets by the kind of host that learns them."""

SCENARIOS = {
    Scenario.HEALTHY: 0.15,
    Scenario.SMALL: 0.1,
    Scenario.BOTTLENECK: 0.45,
    Scenario.DAMAGED: 0.3,
}
"""Probabilities of the scenarios."""

LEARNING_RATES = {
    SlotKind.DENSE: (0.008, 0.02),
    SlotKind.FEATURE_MAP: (0.004, 0.01),
    SlotKind.SEQUENCE: (0.008, 0.016),
}
HIDDEN = 12
"""Most hidden units of a block."""
EPOCHS = (16, 24, 32)
PRICES = (0.02, 0.4)
"""Least and largest price, in log loss a doubling of FLOPs."""
TRAINING_SAMPLES = {
    SlotKind.DENSE: (128, 512),
    SlotKind.FEATURE_MAP: (128, 512),
    SlotKind.SEQUENCE: (512, 2048),
}
"""Fewest and most training samples."""
BATCH_SIZE = 32
STEPS_PER_EPOCH = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeTask:
    """One task of the family.

    index: the integer that names it.
    hidden: hidden units of each block, in order; the length is the number of slots.
    residual: whether the input of each block is added to its output.
    place: index of the narrow or damaged block; None if there is none.
    classes: number of classes.
    samples: number of training samples.
    label_noise: share of training labels that are drawn at random.
    epochs: budget of training.
    events: budget of growth events.
    is_scarce: whether there is one event for three slots, instead of one for each.
    price: log loss that a doubling of the network's FLOPs must bring.
    """

    index: int
    kind: SlotKind
    data: str
    scenario: Scenario
    hidden: tuple[int, ...]
    residual: tuple[bool, ...]
    place: int | None
    damage: Damage | None
    classes: int
    samples: int
    label_noise: float
    learning_rate: float
    epochs: int
    events: int
    is_scarce: bool
    price: float

    @property
    def num_slots(self) -> int:
        """Number of slots."""
        return len(self.hidden)


def draw_task(index: int, kind: SlotKind | None = None) -> EpisodeTask:
    """Return the task with an index; of a given kind of host, or of a kind drawn too.

    Even indices have scarce events, odd ones plentiful.
    """
    rng = np.random.default_rng([7, index])
    drawn = list(DATA)[rng.choice(3, p=(0.5, 0.3, 0.2))]
    kind = kind or drawn
    data = str(rng.choice(DATA[kind]))
    scenario = Scenario(str(rng.choice(list(SCENARIOS), p=list(SCENARIOS.values()))))
    slots = int(rng.integers(6, 13))
    is_alone = scenario in (Scenario.BOTTLENECK, Scenario.DAMAGED)
    place = int(rng.integers(slots)) if is_alone else None
    if kind is SlotKind.SEQUENCE:
        slots -= slots % 2  # attention and feed-forward blocks alternate
        place = None if place is None else min(place | 1, slots - 1)
    damage = Damage(str(rng.choice(list(Damage)))) if scenario is Scenario.DAMAGED else None
    is_scarce = index % 2 == 0
    low, high = map(math.log, PRICES)
    few, many = map(math.log, TRAINING_SAMPLES[kind])
    return EpisodeTask(
        index=index,
        kind=kind,
        data=data,
        scenario=scenario,
        hidden=_hidden(rng, scenario, slots, place),
        residual=_residual(rng, kind, slots, place),
        place=place,
        damage=damage,
        classes=int(rng.integers(*_CLASSES[data])),
        samples=int(math.exp(rng.uniform(few, many))),
        label_noise=float(rng.choice([0, 0, 0.05, 0.15, 0.3])),
        learning_rate=float(rng.choice(LEARNING_RATES[kind])),
        epochs=int(rng.choice(EPOCHS)),
        events=slots // 3 if is_scarce else slots,
        is_scarce=is_scarce,
        price=math.exp(rng.uniform(low, high)),
    )


_CLASSES = {
    "digits": (4, 11),
    "teacher": (3, 9),
    "spirals": (2, 5),
    "textures": (3, 7),
    "majority": (3, 7),
    "recall": (3, 6),
    "source": (2, 6),
}
"""Least number of classes of a data set, and one more than the most."""


def _hidden(
    rng: np.random.Generator, scenario: Scenario, slots: int, place: int | None
) -> tuple[int, ...]:
    least, most = (2, 4) if scenario is Scenario.SMALL else (7, HIDDEN)
    hidden = rng.integers(least, most + 1, slots).tolist()
    narrow = int(rng.choice([1, 1, 2]))
    if scenario is Scenario.BOTTLENECK and place is not None:
        hidden[place] = narrow
    return tuple(hidden)


def _residual(
    rng: np.random.Generator, kind: SlotKind, slots: int, place: int | None
) -> tuple[bool, ...]:
    """Return which blocks are residual: all of a transformer's, and two thirds of the others.

    A single narrow or damaged block has no way around it; in a transformer it is feed-forward.
    """
    share = 1.0 if kind is SlotKind.SEQUENCE else 2 / 3
    residual = (rng.uniform(size=slots) < share).tolist()
    return tuple(each and index != place for index, each in enumerate(residual))
