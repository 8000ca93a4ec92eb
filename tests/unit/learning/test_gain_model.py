"""Predictions of a gain model by hand, and its two files."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.learning.gain_model import LEAST_GAIN, LIMIT, GainModel, doubt
from tests.unit.learning.gain_models import gain_model

MODEL = GainModel(
    names=("depth", "width"),
    centre=np.array([1.0, 10.0]),
    spread=np.array([2.0, 5.0]),
    weights=np.array([[0.1, 0.2], [0.3, 0.2]]),
    biases=np.array([0.0, 0.1]),
    error=0.1,
    doubts=np.array([0.1, 0.2, 0.3, 0.4]),
)
VALUES = st.floats(-1e6, 1e6) | st.just(math.nan)


def test_a_prediction_by_hand() -> None:
    # z = (1, 2): members predict 0 + 0.1 + 0.4 and 0.1 + 0.3 + 0.4.
    gains, deviations = MODEL.predict([{"depth": 3.0, "width": 20.0}])
    assert gains.tolist() == [pytest.approx(0.65)]
    assert deviations.tolist() == [pytest.approx(0.15)]


def test_an_unmeasured_feature_counts_as_average() -> None:
    rows = [{"depth": 3.0, "width": each} for each in (10.0, math.nan)] + [{"depth": 3.0}]
    gains, deviations = MODEL.predict(rows)
    assert gains.tolist() == [gains[0]] * 3
    assert deviations.tolist() == [deviations[0]] * 3
    extra = MODEL.predict([{"depth": 3.0, "width": 10.0, "price": 9.0}])
    assert extra[0][0] == gains[0], "features that the model does not know are not read"


def test_features_far_from_what_was_seen_are_clipped() -> None:
    far, limit = ({"depth": 1 + 2 * z, "width": 10.0} for z in (99.0, LIMIT))
    assert MODEL.predict([far])[0] == MODEL.predict([limit])[0]


@pytest.mark.parametrize(
    ("gain", "deviation", "expected"),
    [
        (1.0, 0.05, 0.0),
        (1.0, 0.25, 0.5),
        (1.0, 9.0, 1.0),
        (0.5, 0.125, 0.5),
        # Gains under the least one count as that.
        (-1.0, 0.25 * LEAST_GAIN, 0.5),
    ],
)
def test_uncertainty_is_the_share_of_known_predictions_with_less_doubt(
    gain: float, deviation: float, expected: float
) -> None:
    assert MODEL.uncertainty(gain, deviation) == expected


def test_a_model_without_known_doubts_is_never_certain() -> None:
    assert replace(MODEL, doubts=np.array([])).uncertainty(0.1, 5.0) == 1.0


def test_a_doubt_is_relative_to_the_gain() -> None:
    found = doubt(np.array([0.5, 0.01, -0.3]), np.array([0.1, 0.1, 0.1]))
    assert found.tolist() == pytest.approx([0.2, 0.1 / LEAST_GAIN, 0.1 / LEAST_GAIN])


@given(depth=VALUES, width=VALUES)
def test_all_reasons_and_the_bias_are_the_prediction(depth: float, width: float) -> None:
    features = {"depth": depth, "width": width}
    reasons = MODEL.reasons(features, number=2)
    assert {name for name, _ in reasons} == {"depth", "width"}
    parts = [abs(part) for _, part in reasons]
    assert parts == sorted(parts, reverse=True)
    gain = MODEL.predict([features])[0][0]
    assert sum(part for _, part in reasons) == pytest.approx(gain - 0.05, abs=1e-9)


def test_the_features_that_move_a_prediction_most_are_named() -> None:
    model = gain_model({"a": 0.1, "b": -0.5, "c": 0.2, "d": 0.0})
    reasons = model.reasons({"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}, number=2)
    assert reasons == [("b", pytest.approx(-0.5)), ("c", pytest.approx(0.2))]


def test_the_error_of_an_expected_gain_is_without_the_noise_of_a_run() -> None:
    model = gain_model({"depth": 1.0})
    assert replace(model, error=math.sqrt(0.02)).expected_error == pytest.approx(0.1)
    assert replace(model, error=0.05).expected_error == pytest.approx(0.015), "a part remains"


def test_a_model_survives_its_files_bit_for_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    model = replace(MODEL, weights=rng.normal(size=(2, 2)), doubts=np.sort(rng.uniform(size=5)))
    model.save(tmp_path / "planner", {"command": "a test", "tasks": 3})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "planner.json",
        "planner.safetensors",
    ]
    read = GainModel.load(tmp_path / "planner")
    for name in ("centre", "spread", "weights", "biases", "doubts"):
        np.testing.assert_array_equal(getattr(read, name), getattr(model, name))
    assert (read.names, read.error) == (model.names, model.error)
    facts = json.loads((tmp_path / "planner.json").read_text(encoding="utf-8"))
    assert (facts["command"], facts["tasks"]) == ("a test", 3)
    rows = [{"depth": 0.3, "width": 7.7}]
    assert read.predict(rows)[0].tobytes() == model.predict(rows)[0].tobytes()
