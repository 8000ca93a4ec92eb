"""Encode what an agent sees of an episode as one vector of fixed size.

    run features, then MAX_SLOTS rows: health of the block, slot features, offers of its seeds

All numbers are scaled to [-1, 1]; what is unknown, and the rows of slots that the host does not
have, are `UNKNOWN`.
"""

import math

import numpy as np

from esper.contracts.health import BlockHealth
from esper.contracts.observation import Observation
from esper.contracts.slot import SlotState
from esper.contracts.stage import SeedStage
from esper.run.episodes.agent import MAX_SLOTS
from esper.run.episodes.branches import NUM_SEEDS
from esper.signals.features import Feature, feature_vector, number
from esper.signals.node_features import NodeFeature, node_features
from esper.signals.scale import UNKNOWN, Column, Floats, Scale, scaled_rows, share
from esper.signals.slot_features import SlotFeature, slot_features


class BudgetFeature(Column):
    """What is left of an episode, and what it asks for.

    PRICE: log loss that a doubling of the network's FLOPs must bring.
    EVENTS_LEFT: growth events left, relative to the number of slots.
    """

    PRICE = Scale(centre=0.2, spread=0.2)
    EPOCH_SHARE = share()
    EVENTS_LEFT = share()


class OfferFeature(Column):
    """The kernel that a dormant seed would germinate, as at the last probe.

    FIRST_ORDER: logarithm of its first-order score.  ADDED_FLOPS: as in `Birth`.
    """

    FIRST_ORDER = Scale(centre=0.0, spread=6.0)
    ADDED_FLOPS = Scale(centre=0.5, spread=-0.5, takes_log=True)


_ROW = len(NodeFeature) + len(SlotFeature) + NUM_SEEDS * len(OfferFeature)
SIZE = len(Feature) + len(BudgetFeature) + MAX_SLOTS * _ROW
"""Numbers of an encoding."""


def encode(observation: Observation, previous: dict[str, BlockHealth], price: float) -> Floats:
    """Return the encoding, of shape (SIZE,).

    `previous` are the probes before the last ones, by slot, from `HealthTrends.update`.
    """
    flow = observation.data_flow
    assert flow is not None, "an agent's policy reads health"
    num_slots = len(observation.slots)
    left = observation.events_left
    budget = [
        price,
        observation.epoch / observation.epochs,
        number(None if left is None else left / num_slots),
    ]
    offers = [offer for slot in observation.slots for offer in _offers(slot)]
    rows = [
        scaled_rows(node_features(observation, flow, previous), NodeFeature),
        scaled_rows(slot_features(observation), SlotFeature),
        scaled_rows(offers, OfferFeature).reshape(num_slots, -1),
    ]
    encoding = np.full(SIZE, UNKNOWN, dtype=np.float32)
    known = [
        scaled_rows([feature_vector(observation)], Feature),
        scaled_rows([budget], BudgetFeature),
        np.concatenate(rows, axis=1),
    ]
    numbers = np.concatenate([each.ravel() for each in known])
    encoding[: len(numbers)] = numbers
    return encoding


def _offers(slot: SlotState) -> list[list[float]]:
    """Return a raw row for each seed, columns as in `OfferFeature`; NaN is unknown."""
    births = {birth.blueprint: birth for birth in slot.births}
    rows = []
    for seed in slot.seeds:
        birth = births.get(seed.bound) if seed.stage is SeedStage.DORMANT else None
        score = birth.first_order if birth is not None else None
        is_positive = score is not None and score > 0
        rows.append(
            [
                math.log(score) if is_positive and score is not None else math.nan,
                number(birth.added_flops if birth is not None else None),
            ]
        )
    return rows
