"""What the gain model reads, by hand for two slots."""

import math
from dataclasses import replace
from typing import Any

import pytest

from esper.contracts.slot import SlotState
from esper.contracts.stage import SeedStage
from esper.signals.gain_features import FEATURES, Offer, offers_of
from tests.unit.policy.builders import make_seed, make_slot
from tests.unit.policy.planned import make_birth, measured_slot, seen

LOSSES = (2.0, 1.0, 0.8, 0.5)
FIRST = measured_slot(
    "a",
    make_birth("mlp", 4.0),
    make_birth("affine", 1.0),
    log_parameters=4.0,
    linear_gain=0.6,
    units=8.0,
    effective_rank=0.5,
    gradient_norm=-2.0,
    dead_units=0.25,
)
SECOND = measured_slot("b", make_birth("mlp", 1.0), log_parameters=6.0, position=1.0, units=2.0)


def rows(
    *slots: SlotState, only: tuple[SlotState, ...] | None = None, **changes: Any
) -> list[Offer]:
    observation = seen(*slots, val_losses=LOSSES, best_val_loss=0.5, **changes)
    return offers_of(observation, slots if only is None else only)


def features(*slots: SlotState, **changes: Any) -> dict[str, float]:
    """Return the features of the first offer."""
    return rows(*slots, **changes)[0].features


def test_an_offer_is_a_germination_with_all_features_in_order() -> None:
    offers = rows(FIRST, SECOND)
    assert [(each.slot, each.birth.blueprint) for each in offers] == [
        ("a", "mlp"),
        ("a", "affine"),
        ("b", "mlp"),
    ]
    assert len(set(FEATURES)) == len(FEATURES)
    for each in offers:
        assert tuple(each.features) == FEATURES
        values = each.features.values()
        assert all(type(value) is float or type(value) is int for value in values)
        assert not any(math.isinf(value) for value in values)


def test_the_state_of_the_run_by_hand() -> None:
    kept = replace(FIRST, seeds=(make_seed(SeedStage.FOSSILIZED), *FIRST.seeds))
    live = replace(SECOND, seeds=(make_seed(SeedStage.TRAINING), *SECOND.seeds))
    found = features(kept, live)
    expected = {
        "epoch_share": 0.25,
        "log_epochs": math.log(40),
        "log_val_loss": math.log(0.5),
        "log_train_loss": math.log(0.25),
        "gap": math.log(2),
        "slope": math.log(0.8 / 0.5),
        # Over the three steps that are known.
        "long_slope": math.log(2.0 / 0.5) / 3,
        "behind_best": 0.0,
        "kept": 1,
        "live": 1,
        "slots": math.log(2),
        "kept_here": 1.0,
        "live_here": 0.0,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_the_state_of_a_slot_by_hand() -> None:
    expected = {
        "log_parameters": 4.0,
        "rel_log_parameters": -1.0,
        "narrow": 1.0,
        "linear_gain": 0.6,
        # The other slot's is unknown.
        "rel_linear_gain": 0.0,
        "position": 0.0,
        "is_first": 1.0,
        "is_last": 0.0,
        "frozen": 0.0,
        "log_units": math.log(8),
        "rel_log_units": math.log(8) - (math.log(8) + math.log(2)) / 2,
        "log_rank": math.log(4),
        "dense": 1.0,
        "feature_map": 0.0,
        "sequence": 0.0,
    }
    found = features(FIRST, SECOND)
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    other = rows(FIRST, SECOND)[-1].features
    assert (other["rel_log_parameters"], other["narrow"]) == (1.0, 0.0), "it is the wider one"
    assert (other["is_first"], other["is_last"], other["frozen"]) == (0.0, 1.0, 1.0)
    unmeasured = ("linear_gain", "rel_linear_gain", "log_rank", "left_linear_gain", "weight_norm")
    assert all(math.isnan(other[name]) for name in unmeasured)


def test_a_kernel_by_hand() -> None:
    mlp, affine, other = (each.features for each in rows(FIRST, SECOND))
    assert mlp["log_first_order"] == pytest.approx(math.log(4))
    # Of the same blueprint the other slot has 1; the same slot has 4 and 1.
    assert mlp["rel_first_order"] == pytest.approx(math.log(4) / 2)
    assert other["rel_first_order"] == pytest.approx(-math.log(4) / 2)
    assert mlp["own_first_order"] == pytest.approx(math.log(4) / 2)
    assert affine["rel_first_order"] == 0.0
    assert mlp["log_flops"] == 1.0, "it costs as much as the network"
    assert (mlp["mlp"], mlp["affine"], affine["mlp"], affine["affine"]) == (1.0, 0.0, 0.0, 1.0)
    vanished = measured_slot("a", make_birth("mlp", 0.0), make_birth("lora", None))
    found = [each.features["log_first_order"] for each in rows(vanished, SECOND)]
    assert [math.isnan(value) for value in found] == [True, True, False]


def test_what_is_alone_follows_the_data_flow() -> None:
    first, _, second = (each.features for each in rows(FIRST, SECOND))
    assert (first["alone"], second["alone"]) == (0.0, 1.0)
    # Three quarters of the budget are left.
    assert first["left_rel_log_parameters"] == pytest.approx(0.75 * -1.0)
    assert first["alone_rel_log_parameters"] == 0.0
    assert second["alone_rel_log_parameters"] == pytest.approx(0.75 * 1.0)
    assert second["left_alone"] == 0.75
    assert features(FIRST, SECOND, data_flow=None)["alone"] == 0.0


def test_only_measured_slots_that_are_asked_for_have_offers() -> None:
    assert [each.slot for each in rows(FIRST, SECOND, only=(SECOND,))] == ["b"]
    assert rows(make_slot("a"), make_slot("b")) == []
    # The others still count in the means.
    (alone,) = rows(SECOND)
    assert alone.features["rel_log_parameters"] == 0.0
    (among,) = rows(FIRST, SECOND, only=(SECOND,))
    assert among.features["rel_log_parameters"] == 1.0


def test_a_run_without_losses_has_unmeasured_features() -> None:
    young = seen(FIRST, SECOND, val_losses=(math.inf, 0.5), best_val_loss=None)
    found = offers_of(young, (FIRST,))[0].features
    assert all(math.isnan(found[name]) for name in ("slope", "long_slope", "behind_best"))
    assert not any(math.isinf(value) for value in found.values())
