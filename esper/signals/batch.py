"""Turn many observations into arrays at once.  Shapes: N observations, S slots, C columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esper.contracts.observation import Observation
from esper.signals.features import FEATURE_SCALES, feature_vector
from esper.signals.scale import UNKNOWN, Scale
from esper.signals.slot_features import SLOT_SCALES, SlotFeature, slot_features


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureBatch:
    """Scaled features of many observations.

    features_NC: the columns of `Feature`.
    slots_NSC: the columns of `SlotFeature`, padded to the largest number of slots by `UNKNOWN`.
    is_slot_NS: False where a slot is padding.
    """

    features_NC: NDArray[np.float32]
    slots_NSC: NDArray[np.float32]
    is_slot_NS: NDArray[np.bool_]


def batch(observations: Sequence[Observation]) -> FeatureBatch:
    """Return the scaled features of every observation.

    Raises:
        ValueError: if there is none.
    """
    if not observations:
        raise ValueError("observations must not be empty")
    raw_NC = np.array([feature_vector(each) for each in observations], dtype=np.float64)
    blocks = [slot_features(each) for each in observations]
    most = max(len(block) for block in blocks)
    raw_NSC = np.full((len(blocks), most, len(SlotFeature)), np.nan)
    is_slot_NS = np.zeros((len(blocks), most), dtype=np.bool_)
    for row, block in enumerate(blocks):
        if block:
            raw_NSC[row, : len(block)] = block
            is_slot_NS[row, : len(block)] = True
    return FeatureBatch(
        features_NC=scale_columns(raw_NC, FEATURE_SCALES),
        slots_NSC=scale_columns(raw_NSC, SLOT_SCALES),
        is_slot_NS=is_slot_NS,
    )


def scale_columns(raw: NDArray[np.float64], scales: Sequence[Scale]) -> NDArray[np.float32]:
    """Return `raw` scaled along its last axis, with `UNKNOWN` for NaN."""
    takes_log = np.array([scale.takes_log for scale in scales])
    centre = np.array([scale.centre for scale in scales])
    spread = np.array([scale.spread for scale in scales])
    value = np.where(takes_log, np.log1p(np.where(takes_log, np.maximum(raw, 0.0), 0.0)), raw)
    known = np.clip((value - centre) / spread, -1.0, 1.0)
    return np.where(np.isnan(known), UNKNOWN, known).astype(np.float32)
