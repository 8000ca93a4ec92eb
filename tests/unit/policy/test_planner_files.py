"""The files of the planner's model, and the features that go along with its requests."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esper.contracts.decision import Decision
from esper.contracts.errors import ConfigError
from esper.contracts.health import Birth, BlockHealth
from esper.contracts.observation import Observation
from esper.contracts.slot import SlotState
from esper.policy.planner import Planner, PlannerPolicy
from esper.signals.gain_features import FEATURES, offers_of, recorded
from tests.gain_models import full_model, write_gain_model
from tests.unit.policy.builders import make_observation, make_slot


def healthy_slot(name: str, linear_gain: float, added_flops: float = 1.0) -> SlotState:
    """Return a slot that offers `mlp`, and `affine`, which adds three times the FLOPs."""
    health = BlockHealth(epoch=10, log_parameters=4.0, position=0.0, linear_gain=linear_gain)
    births = (
        Birth(blueprint="mlp", first_order=1.0, added_flops=added_flops),
        Birth(blueprint="affine", first_order=1.0, added_flops=3 * added_flops),
    )
    return make_slot(name, health=health, births=births)


def two_slots() -> Observation:
    return make_observation(slots=(healthy_slot("a", 0.1), healthy_slot("b", 0.3)))


def decide(options: Planner, observation: Observation, bias: float = 0.0) -> list[Decision]:
    """Decide with a model that predicts bias + linear gain."""
    return PlannerPolicy(options, full_model(bias, linear_gain=1.0)).decide(observation)


def test_recorded_features_have_4_digits_and_gaps() -> None:
    observation = two_slots()
    (offer, _) = offers_of(observation, [observation.slot("b")])
    values = dict(zip(FEATURES, recorded(offer.features), strict=True))
    assert values["linear_gain"] == 0.3
    assert values["log_val_loss"] == -0.6931  # ln 0.5, to 4 digits
    assert values["dead_units"] is None


def test_the_files_of_a_model_are_read(tmp_path: Path) -> None:
    write_gain_model(tmp_path / "mine", bias=0.5, linear_gain=1.0)
    policy = Planner(path=str(tmp_path / "mine")).build(0)
    first, _ = policy.decide(two_slots())
    assert "promises a gain of" in first.reason
    assert policy.reads_health


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("mine.json", None, "mine.json or mine.safetensors is missing (train one: esper"),
        ("mine.safetensors", None, "mine.json or mine.safetensors is missing (train one: esper"),
        ("mine.json", b"{", "mine cannot be read: "),
        ("mine.json", b'{"names": ["linear_gain"]}', "mine cannot be read: 'error'"),
        (
            "mine.json",
            b'{"names": ["linear_gain"], "error": "x"}',
            "mine cannot be read: could not",
        ),
        ("mine.json", b'{"names": ["linear_gain"], "error": 1}', "must have the shape (1,), got"),
        ("mine.safetensors", b"no tensors", "mine cannot be read: "),
    ],
)
def test_missing_and_broken_files_are_refused_in_one_line(
    name: str, content: bytes | None, words: str, tmp_path: Path
) -> None:
    write_gain_model(tmp_path / "mine")
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=r"^policy\.path: the gain model .*") as refused:
        Planner(path=str(tmp_path / "mine")).build(0)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"error": -1.0}, "error must be > 0 and finite, got -1.0"),
        ({"error": math.inf}, "error must be > 0 and finite, got inf"),
        ({"biases": np.array([math.nan, 0.0])}, "biases holds a value that is not finite"),
        ({"spread": np.zeros(len(FEATURES))}, "spread must be > 0"),
        ({"weights": np.zeros((3, len(FEATURES)))}, "weights must have the shape"),
        ({"biases": np.zeros((2, 1))}, "biases must have the shape (2,), got (2, 1)"),
        ({"biases": np.zeros(0), "weights": np.zeros((0, len(FEATURES)))}, "weights must have the"),
        ({"doubts": np.array(0.1)}, "doubts must have the shape (1,), got ()"),
    ],
)
def test_a_model_that_cannot_predict_is_refused(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    replace(full_model(), **changes).save(tmp_path / "mine", {})
    with pytest.raises(ConfigError) as refused:
        Planner(path=str(tmp_path / "mine")).build(0)
    assert words in str(refused.value)


def test_a_name_may_have_a_dot(tmp_path: Path) -> None:
    write_gain_model(tmp_path / "mine")
    write_gain_model(tmp_path / "mine.v2", bias=0.5)
    names = {each.name for each in tmp_path.iterdir()}
    assert {"mine.v2.json", "mine.v2.safetensors"} < names
    assert Planner(path=str(tmp_path / "mine.v2")).build(0).model.biases.mean() == 0.5
    with pytest.raises(ConfigError, match=r"mine\.v3\.json or mine\.v3\.safetensors is missing"):
        Planner(path=str(tmp_path / "mine.v3")).build(0)


def test_a_model_of_unknown_features_is_refused(tmp_path: Path) -> None:
    write_gain_model(tmp_path / "mine")
    values = json.loads((tmp_path / "mine.json").read_text())
    values["names"][0] = "phase_of_the_moon"
    (tmp_path / "mine.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="features that are not measured: phase_of_the_moon"):
        Planner(path=str(tmp_path / "mine")).build(0)
