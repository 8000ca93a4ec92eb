import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.contracts.metrics import EpochMetrics
from esper.contracts.stage import SeedStage
from esper.signals.features import Feature, feature_vector, furthest_seed
from esper.signals.scale import UNKNOWN, scaled
from tests.unit.policy.builders import make_observation, make_seed, make_slot

ORDER = (
    "epoch global_step train_loss val_loss loss_delta train_accuracy val_accuracy accuracy_delta "
    "plateau_epochs best_val_accuracy best_val_loss val_loss_ago_4 val_loss_ago_3 val_loss_ago_2 "
    "val_loss_ago_1 val_loss_ago_0 val_accuracy_ago_4 val_accuracy_ago_3 val_accuracy_ago_2 "
    "val_accuracy_ago_1 val_accuracy_ago_0 has_live_seed seed_stage epochs_in_stage alpha "
    "improvement available_slots"
)


def test_there_are_27_features_in_a_fixed_order() -> None:
    assert " ".join(feature.name.lower() for feature in Feature) == ORDER
    assert [int(feature) for feature in Feature] == list(range(27))


def test_every_feature_stands_in_its_own_place() -> None:
    seed = make_seed(SeedStage.BLENDING, epochs_in_stage=2, alpha=0.25, improvement=0.03)
    observation = make_observation(
        slots=(make_slot("a", seeds=(seed,)), make_slot("b"), make_slot("c", rests_until=99)),
        metrics=EpochMetrics(
            epoch=7,
            global_step=70,
            val_loss=0.6,
            val_accuracy=0.8,
            train_loss=0.5,
            train_accuracy=0.9,
        ),
        plateau_epochs=2,
        loss_delta=-0.1,
        accuracy_delta=0.02,
        best_val_accuracy=0.81,
        best_val_loss=0.59,
        val_losses=(9.0, 1.4, 1.3, 1.2, 1.1, 0.6),
        val_accuracies=(0.1, 0.4, 0.5, 0.6, 0.7, 0.8),
    )
    assert feature_vector(observation) == [
        *(7, 70, 0.5, 0.6, -0.1, 0.9, 0.8, 0.02, 2, 0.81, 0.59),
        *(1.4, 1.3, 1.2, 1.1, 0.6),
        *(0.4, 0.5, 0.6, 0.7, 0.8),
        *(1, 3, 2, 0.25, 0.03),
        1,
    ]


def test_a_young_run_has_unknown_history_before_its_first_epoch() -> None:
    observation = make_observation(epoch=2, val_losses=(2.0, 1.0), val_accuracies=(None, 0.5))
    vector = feature_vector(observation)
    losses = vector[Feature.VAL_LOSS_AGO_4 : Feature.VAL_LOSS_AGO_0 + 1]
    assert [math.isnan(value) for value in losses] == [True, True, True, False, False]
    assert losses[3:] == [2.0, 1.0]
    assert math.isnan(vector[Feature.VAL_ACCURACY_AGO_1])


def test_without_a_live_seed_what_is_said_of_it_is_unknown() -> None:
    vector = feature_vector(make_observation())
    assert vector[Feature.HAS_LIVE_SEED] == 0.0
    assert all(
        math.isnan(vector[f])
        for f in (Feature.SEED_STAGE, Feature.EPOCHS_IN_STAGE, Feature.ALPHA, Feature.IMPROVEMENT)
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_unknown(bad: float) -> None:
    metrics = EpochMetrics(epoch=3, global_step=3, val_loss=bad, train_loss=bad)
    vector = feature_vector(make_observation(metrics=metrics))
    assert scaled(vector, Feature)[Feature.VAL_LOSS] == UNKNOWN
    assert scaled(vector, Feature)[Feature.TRAIN_LOSS] == UNKNOWN


def test_unknown_differs_from_every_known_value_of_an_improvement() -> None:
    seeds = [make_seed(SeedStage.TRAINING, improvement=x) for x in (None, 0.0, -1.0, 1.0)]
    columns = [
        scaled(feature_vector(make_observation(slots=(make_slot(seeds=(seed,)),))), Feature)[
            Feature.IMPROVEMENT
        ]
        for seed in seeds
    ]
    assert columns == [UNKNOWN, 0.0, -1.0, 1.0]


def test_the_seed_furthest_in_its_lifecycle_is_the_one_described() -> None:
    early, late = make_seed(SeedStage.TRAINING), make_seed(SeedStage.SHADOWING)
    done = make_seed(SeedStage.FOSSILIZED)
    slots = (make_slot("a", seeds=(early, done)), make_slot("b", seeds=(early, late, late)))
    seed = furthest_seed(make_observation(slots=slots).live_seeds)
    assert seed is not None
    assert (seed.slot, seed.seed) == ("b", 1)


numbers = st.none() | st.floats(allow_nan=True, allow_infinity=True)


@given(loss=st.floats(), accuracy=numbers, delta=numbers, improvement=numbers)
def test_scaled_features_lie_within_the_unit_range_or_are_unknown(
    loss: float, accuracy: float | None, delta: float | None, improvement: float | None
) -> None:
    seed = make_seed(SeedStage.PROBATIONARY, improvement=improvement)
    observation = make_observation(
        slots=(make_slot(seeds=(seed,)),), loss_delta=delta, val_accuracies=(accuracy,)
    )
    observation = replace(observation, metrics=replace(observation.metrics, val_loss=loss))
    assert all(x == UNKNOWN or -1 <= x <= 1 for x in scaled(feature_vector(observation), Feature))


def test_every_scale_stands_in_its_own_place() -> None:
    worst = [0.0] * 27
    worst[Feature.SEED_STAGE] = 1.0
    losses = {Feature.TRAIN_LOSS, Feature.VAL_LOSS, Feature.BEST_VAL_LOSS}
    losses |= {f for f in Feature if f.name.startswith("VAL_LOSS_AGO")}
    changes = {Feature.LOSS_DELTA, Feature.ACCURACY_DELTA, Feature.IMPROVEMENT}
    expected = [1.0 if f in losses else 0.0 if f in changes else -1.0 for f in Feature]
    assert scaled(worst, Feature) == pytest.approx(expected)


def test_a_vector_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        scaled([0.0] * 26, Feature)
