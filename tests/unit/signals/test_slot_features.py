import math

import pytest

from esper.contracts.observation import SeedWindow
from esper.contracts.stage import SeedStage
from esper.signals.scale import UNKNOWN, scaled
from esper.signals.slot_features import SlotFeature, slot_features
from tests.unit.policy.builders import make_observation, make_seed, make_slot


def test_a_row_describes_the_slot_and_its_furthest_live_seed() -> None:
    live = make_seed(
        SeedStage.SHADOWING,
        epochs_in_stage=2,
        alpha=0.5,
        improvement=0.01,
        ablation=0.02,
        gain=0.03,
        gain_error=0.004,
        gradient_norm=0.7,
        activations=2,
    )
    seeds = (make_seed(), live, make_seed(SeedStage.FOSSILIZED), make_seed(SeedStage.EMBARGOED))
    slot = make_slot(seeds=seeds, rests_until=12, last_cull_epoch=7)
    window = SeedWindow(slot="block", seed=1, activation=1, gains=(None, 0.01, None, 0.03))
    (row,) = slot_features(make_observation(slots=(slot,), seed_windows=(window,)))
    assert row == pytest.approx(
        [0, 0.25, 0.25, 0.25, 0.25, 2, 3, 2, 4, 2, 0.5, 0.01, 0.02, 0.03, 0.004, 0.02, 0.7]
    )


def test_an_untouched_slot_is_available_and_its_seed_unknown() -> None:
    (row,) = slot_features(make_observation())
    assert row[: SlotFeature.EPOCHS_SINCE_CULL] == [1, 1, 0, 0, 0, 0]
    assert math.isnan(row[SlotFeature.EPOCHS_SINCE_CULL])
    assert row[SlotFeature.ACTIVATIONS] == 0
    assert all(math.isnan(value) for value in row[SlotFeature.SEED_STAGE :])


def test_one_measurement_is_no_trend() -> None:
    window = SeedWindow(slot="block", seed=0, activation=1, gains=(None, 0.03))
    slot = make_slot(seeds=(make_seed(SeedStage.SHADOWING),))
    (row,) = slot_features(make_observation(slots=(slot,), seed_windows=(window,)))
    assert math.isnan(row[SlotFeature.GAIN_TREND])


@pytest.mark.parametrize("num_slots", [0, 1, 12, 400])
def test_there_is_a_row_for_each_of_any_number_of_slots(num_slots: int) -> None:
    slots = tuple(make_slot(f"block{index}") for index in range(num_slots))
    rows = slot_features(make_observation(slots=slots))
    assert len(rows) == num_slots
    assert all(len(row) == len(SlotFeature) for row in rows)


def test_scaled_rows_mark_the_unknown_and_bound_the_known() -> None:
    seed = make_seed(SeedStage.SHADOWING, gain=1e9, gradient_norm=None, ablation=math.nan)
    (raw,) = slot_features(make_observation(slots=(make_slot(seeds=(seed,)),)))
    row = scaled(raw, SlotFeature)
    assert row[SlotFeature.GAIN] == 1.0
    assert row[SlotFeature.GRADIENT_NORM] == row[SlotFeature.ABLATION] == UNKNOWN
    assert all(value == UNKNOWN or -1 <= value <= 1 for value in row)
