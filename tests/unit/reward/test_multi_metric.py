"""The weighted reward as a whole."""

import math
from typing import Any

import pytest

from esper.reward.components import SIGNS
from esper.reward.multi_metric import MultiMetric


def typical(settle: Any, **fields: Any) -> Any:
    """A kernel that adds half of the FLOPs and of the parameters."""
    return settle(**({"flops_after": 150.0, "parameters_after": 150} | fields))


def test_the_total_is_the_weighted_sum_through_tanh(settle: Any) -> None:
    reward = MultiMetric().judge(typical(settle, gain=0.2, gain_error=0.01))
    cost, risk = math.log(1.5), 0.2 / 3
    score = 1.0 * 4 + 0.6 * -0.5 + 0.4 * -1 / 3 + 0.8 * 0.1 - 0.3 * cost - 0.5 * risk
    assert reward.total == pytest.approx(math.tanh(0.25 * score))
    assert reward.components == pytest.approx(
        {
            "accuracy": 4.0,
            "speed": -0.5,
            "memory": -1 / 3,
            "stability": 0.1,
            "cost": cost,
            "risk": risk,
        }
    )


def test_a_gain_of_a_fifth_pays_and_a_useless_kernel_does_not(settle: Any) -> None:
    model = MultiMetric()
    assert model.judge(typical(settle, gain=0.2)).total > 0.5
    assert model.judge(typical(settle, gain=0.2, gain_error=None)).total > 0.05
    ramp = (("immediate", 0.05), ("short", 0.2), ("short", 0.2))
    assert model.judge(typical(settle, gain=0.2, points=ramp)).total > 0.05
    assert -0.2 < model.judge(typical(settle, gain=0.0)).total < 0
    assert model.judge(typical(settle, gain=0.8)).total > 0.95


@pytest.mark.parametrize(
    "worse",
    [
        {"flops_after": 200.0},
        {"parameters_after": 200},
        {"gain_error": 0.04},
        {"errors": 2, "recoveries": 1},
        {"loss_variance": 0.4},
    ],
)
def test_what_costs_or_endangers_lowers_the_reward(settle: Any, worse: dict[str, Any]) -> None:
    model = MultiMetric()
    assert model.judge(settle(**worse)).total < model.judge(settle()).total


def test_a_high_contribution_by_ablation_buys_nothing(settle: Any) -> None:
    totals = {MultiMetric().judge(settle(gain=-0.1, ablation=a)).total for a in (-1.0, 0.0, 0.9)}
    assert len(totals) == 1


def test_measured_time_steers_nothing_by_default(settle: Any) -> None:
    quick, slow = settle(latency_ms=0.1), settle(latency_ms=9.0)
    assert MultiMetric().judge(quick) == MultiMetric().judge(slow)
    wall = MultiMetric(clock="wall")
    assert wall.judge(quick).total > wall.judge(slow).total


def test_the_explanation_names_every_component_with_numbers(settle: Any) -> None:
    words = MultiMetric().judge(typical(settle, gain=0.2)).explanation
    assert "seed 1 of slot 'block' (mlp, fossilized)" in words
    assert "credited gain +20.0% (± 1.0%)" in words
    for share in ("accuracy 4 x +1", "speed -0.5 x +0.6", "memory -0.333 x +0.4"):
        assert share in words
    for share in ("stability 0.1 x +0.8", "cost 0.405 x -0.3", "risk 0.0667 x -0.5"):
        assert share in words


def test_an_unmeasured_gain_contributes_nothing_and_says_so(settle: Any) -> None:
    reward = MultiMetric().judge(settle(gain=None, gain_error=None, points=(("immediate", 0.5),)))
    assert reward.components["accuracy"] == 0
    assert reward.confidence == 0
    assert "gain not measured" in reward.explanation


def test_a_component_without_a_weight_fails_at_construction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(SIGNS, "beauty", 1)
    with pytest.raises(AttributeError, match="no attribute 'beauty_weight'"):
        MultiMetric()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("accuracy_weight", 0.0),
        ("speed_weight", -0.1),
        ("memory_weight", math.nan),
        ("stability_weight", math.inf),
        ("cost_weight", -1.0),
        ("risk_weight", math.nan),
        ("immediate_weight", 0.0),
        ("long_weight", math.nan),
        ("gain_unit", 0.0),
        ("scale", -1.0),
        ("scale", math.inf),
        ("clock", "sundial"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_key(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"reward\.{key} must be .*, got {value}"):
        MultiMetric(**{key: value})


def test_a_kept_kernel_that_fades_loses_and_one_that_lasts_does_not(settle: Any) -> None:
    looks = (("immediate", 0.1), ("short", 0.1))
    model = MultiMetric()
    verdict, faded, lasted = (
        model.judge(settle(points=looks + later)).components["accuracy"]
        for later in ((), (("medium", 0.0),), (("medium", 0.1), ("long", 0.1)))
    )
    assert (verdict, lasted) == (pytest.approx(2.0), pytest.approx(2.0))
    assert faded == pytest.approx(2.0 * 0.7 / 0.95)
