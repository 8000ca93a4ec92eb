import math

import numpy as np
import pytest

from esper.contracts.observation import Observation
from esper.contracts.stage import SeedStage
from esper.signals.batch import batch
from esper.signals.features import Feature, feature_vector
from esper.signals.scale import UNKNOWN, scaled
from esper.signals.slot_features import SlotFeature, slot_features
from tests.unit.policy.builders import make_observation, make_seed, make_slot


def some_observations() -> list[Observation]:
    live = make_seed(SeedStage.SHADOWING, gain=-0.3, gradient_norm=3.0)
    return [
        make_observation(epoch=1, slots=()),
        make_observation(epoch=20, slots=(make_slot("a", seeds=(live,)), make_slot("b"))),
        make_observation(epoch=3, val_losses=(math.nan, 12.0), loss_delta=None),
    ]


def test_a_batch_holds_what_one_observation_at_a_time_gives() -> None:
    observations = some_observations()
    together = batch(observations)
    assert together.features_NC.shape == (3, 27)
    for row, observation in enumerate(observations):
        alone = scaled(feature_vector(observation), Feature)
        np.testing.assert_allclose(together.features_NC[row], alone, rtol=1e-6)
        for place, raw in enumerate(slot_features(observation)):
            expected = scaled(raw, SlotFeature)
            np.testing.assert_allclose(together.slots_NSC[row, place], expected, rtol=1e-6)


def test_slots_are_padded_as_unknown_and_masked() -> None:
    together = batch(some_observations())
    assert together.slots_NSC.shape == (3, 2, len(SlotFeature))
    assert together.is_slot_NS.tolist() == [[False, False], [True, True], [True, False]]
    assert (together.slots_NSC[~together.is_slot_NS] == UNKNOWN).all()
    assert np.isfinite(together.slots_NSC).all()


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="observations must not be empty"):
        batch([])
