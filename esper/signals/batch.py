"""Convert many observations to arrays.  Shapes: N observations, S slots, C columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esper.contracts.observation import Observation
from esper.signals.features import Feature, feature_vector
from esper.signals.scale import UNKNOWN, scaled
from esper.signals.slot_features import SlotFeature, slot_features


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureBatch:
    """Scaled features of many observations.

    features_NC: the columns of `Feature`.
    slots_NSC: the columns of `SlotFeature`, padded to the largest number of slots by `UNKNOWN`.
    is_slot_NS: False for padding.
    """

    features_NC: NDArray[np.float32]
    slots_NSC: NDArray[np.float32]
    is_slot_NS: NDArray[np.bool_]


def batch(observations: Sequence[Observation]) -> FeatureBatch:
    """Return the scaled features of every observation; raise ValueError if there is none."""
    if not observations:
        raise ValueError("observations must not be empty")
    vectors = [scaled(feature_vector(each), Feature) for each in observations]
    most = max(len(each.slots) for each in observations)
    slots_NSC = np.full((len(vectors), most, len(SlotFeature)), UNKNOWN, dtype=np.float32)
    is_slot_NS = np.zeros((len(vectors), most), dtype=np.bool_)
    for row, observation in enumerate(observations):
        for place, values in enumerate(slot_features(observation)):
            slots_NSC[row, place] = scaled(values, SlotFeature)
            is_slot_NS[row, place] = True
    features_NC = np.array(vectors, dtype=np.float32)
    return FeatureBatch(features_NC=features_NC, slots_NSC=slots_NSC, is_slot_NS=is_slot_NS)
