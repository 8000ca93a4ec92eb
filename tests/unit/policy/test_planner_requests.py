"""The planner grows where its model predicts the largest net gain, and says why."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.errors import ConfigError
from esper.contracts.health import Birth, BlockHealth
from esper.contracts.observation import Observation
from esper.contracts.slot import SlotState
from esper.policy.gain_features import FEATURES, offers_of, recorded
from esper.policy.planner import Planner, PlannerPolicy
from tests.gain_models import gain_model, write_gain_model
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
    return PlannerPolicy(options, gain_model(bias, linear_gain=1.0)).decide(observation)


def test_it_asks_for_the_largest_net_gain_of_each_slot_the_best_first() -> None:
    first, second = decide(Planner(price=0.05), two_slots())
    assert (first.slot, second.slot) == ("b", "a")
    assert first.kind is DecisionKind.ADAPT
    assert set(first.barred) == {"affine", "lora", "gated_mlp", "norm"}  # all but `mlp`
    # A doubling of the FLOPs costs the price: 0.3 - 0.05; errors of 0.1 and 0.01.
    assert "promises a net gain of +0.25 > 0.02 (+0.3 +- 0.01 before its price" in first.reason
    assert "linear_gain +0.3" in first.reason
    likely = 0.5 * (1 + math.erf(0.25 / math.hypot(0.1, 0.01) / math.sqrt(2)))
    assert first.confidence == pytest.approx(likely)
    assert first.uncertainty == 0.0
    assert first.learned


def test_it_waits_where_no_net_gain_is_above_the_threshold() -> None:
    (only,) = decide(Planner(price=0.05, threshold=0.1), two_slots())
    assert only.slot == "b"
    (waits,) = decide(Planner(price=0.05, threshold=0.25), two_slots(), bias=-0.01)
    assert waits.kind is DecisionKind.WAIT
    assert "mlp in 'b' promises a net gain of +0.24 <= 0.25" in waits.reason
    (poor,) = decide(Planner(price=0.3), two_slots())
    assert poor.kind is DecisionKind.WAIT


def test_it_asks_for_no_more_than_the_events_that_are_left() -> None:
    (only,) = decide(Planner(), replace(two_slots(), events_left=1))
    assert only.slot == "b"


def test_it_waits_for_a_probe() -> None:
    (waits,) = decide(Planner(), make_observation())
    assert waits.reason.startswith("no slot has a measured offer")


def test_a_request_holds_the_features_that_were_read() -> None:
    observation = two_slots()
    (first, _) = decide(Planner(), observation)
    (offer, _) = offers_of(observation, [observation.slot("b")])
    assert first.features == recorded(offer.features)
    values = dict(zip(FEATURES, first.features, strict=True))
    assert values["linear_gain"] == 0.3
    assert values["log_val_loss"] == -0.6931  # ln 0.5, to 4 digits
    assert values["dead_units"] is None


def test_the_files_of_a_model_are_read(tmp_path: Path) -> None:
    write_gain_model(tmp_path / "mine", bias=0.5, linear_gain=1.0)
    policy = Planner(path=str(tmp_path / "mine")).build(0)
    first, _ = policy.decide(two_slots())
    assert "before its price" in first.reason
    assert policy.reads_health


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("mine.json", None, "mine.json or mine.safetensors is missing (train one: esper"),
        ("mine.safetensors", None, "mine.json or mine.safetensors is missing (train one: esper"),
        ("mine.json", b"{", "mine cannot be read: "),
        ("mine.json", b'{"names": ["linear_gain"]}', "mine cannot be read: 'error'"),
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


def test_a_model_of_unknown_features_is_refused(tmp_path: Path) -> None:
    write_gain_model(tmp_path / "mine")
    values = json.loads((tmp_path / "mine.json").read_text())
    values["names"][0] = "phase_of_the_moon"
    (tmp_path / "mine.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="features that are not measured: phase_of_the_moon"):
        Planner(path=str(tmp_path / "mine")).build(0)


def test_the_threshold_must_be_finite() -> None:
    with pytest.raises(ValueError, match=r"policy\.threshold must be a finite number, got nan"):
        Planner(threshold=math.nan)
