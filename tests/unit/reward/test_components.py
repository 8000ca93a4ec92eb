"""Each component by hand."""

import math
from typing import Any

import pytest

from esper.contracts.outcome import WINDOWS
from esper.reward.components import SIGNS, accuracy, cost, memory, risk, speed, stability
from esper.reward.multi_metric import MultiMetric

EVEN = dict.fromkeys(WINDOWS, 1.0)


@pytest.mark.parametrize(("gain", "value"), [(0.2, 4.0), (-0.05, -1.0), (0.0, 0.0), (None, 0.0)])
def test_accuracy_counts_gains_in_units(settle: Any, gain: float | None, value: float) -> None:
    assert accuracy(settle(gain=gain), EVEN, gain_unit=0.05) == pytest.approx(value)


@pytest.mark.parametrize(("gain", "value"), [(0.03, 1.6), (0.01, 0.0), (None, -0.8)])
def test_what_verdicts_ask_is_taken_off_and_the_rest_counts_as_the_lasting_gain(
    settle: Any, gain: float | None, value: float
) -> None:
    # 0.02 more than asked is 0.08 of lasting gain if a quarter is shown: 1.6 units of 0.05.
    outcome = settle(gain=gain, asked_gain=0.01, shown=0.25)
    assert accuracy(outcome, EVEN, gain_unit=0.05) == pytest.approx(value)


def test_the_doubt_is_that_of_the_lasting_gain(settle: Any) -> None:
    # 0.01 / 0.25 is 0.8 units, a third of the risk.
    outcome = settle(gain_error=0.01, shown=0.25)
    assert risk(outcome, gain_unit=0.05) == pytest.approx(0.8 / 3)


@pytest.mark.parametrize(
    ("before", "after", "value"),
    [
        (100.0, 100.0, 0.0),
        (100.0, 105.0, -0.05),
        (100.0, 110.0, -0.1),
        (100.0, 111.0, -0.5),
        (100.0, 900.0, -0.5),
        (100.0, 60.0, 0.4),
        (0.0, 50.0, 0.0),
    ],
)
def test_speed_is_the_relative_gain_of_the_whole_step(
    settle: Any, before: float, after: float, value: float
) -> None:
    outcome = settle(flops_before=before, flops_after=after, latency_ms=0.1)
    assert speed(outcome) == pytest.approx(value)


@pytest.mark.parametrize(
    ("latency_ms", "bonus"), [(0.49, 0.2), (0.5, 0.1), (0.99, 0.1), (1.0, 0.0), (None, 0.0)]
)
def test_a_quick_kernel_has_a_bonus_by_the_wall_clock_only(
    settle: Any, latency_ms: float | None, bonus: float
) -> None:
    outcome = settle(flops_after=104.0, latency_ms=latency_ms)
    assert speed(outcome, wall_clock=True) == pytest.approx(-0.04 + bonus)
    assert speed(outcome) == pytest.approx(-0.04)


@pytest.mark.parametrize(
    ("before", "after", "value"), [(100, 150, -1 / 3), (100, 50, 0.5), (100, 100, 0.0), (0, 9, 0.0)]
)
def test_memory_is_the_share_of_parameters_saved(
    settle: Any, before: int, after: int, value: float
) -> None:
    outcome = settle(parameters_before=before, parameters_after=after)
    assert memory(outcome) == pytest.approx(value)


@pytest.mark.parametrize(
    ("errors", "recoveries", "variance", "value"),
    [
        (0, 0, 0.0, 0.1),
        (3, 3, 0.0, -1.0 + 0.1),
        (3, 0, 0.0, -1.0 - 1.9),
        (60, 30, 0.0, -2.0 - 0.9),
        (0, 0, 2.0, 0.1 - 0.2),
        (0, 0, 80.0, 0.1 - 0.5),
    ],
)
def test_stability_falls_with_errors_left_errors_and_turbulence(
    settle: Any, errors: int, recoveries: int, variance: float, value: float
) -> None:
    outcome = settle(errors=errors, recoveries=recoveries, loss_variance=variance)
    assert stability(outcome) == pytest.approx(value)


def test_a_mended_error_never_beats_none(settle: Any) -> None:
    long_lived = {"germinated_epoch": 0, "settled_epoch": 1000}
    mended = stability(settle(errors=1, recoveries=1, **long_lived))
    assert mended < stability(settle(**long_lived))


def test_cost_is_what_was_added_and_never_pays(settle: Any) -> None:
    grown = settle(flops_after=200.0, parameters_after=300)
    assert cost(grown) == pytest.approx((math.log(2) + math.log(3)) / 2)
    assert cost(settle(flops_after=50.0, parameters_after=50)) == 0


def test_risk_is_the_mean_of_doubt_left_errors_and_turbulence(settle: Any) -> None:
    assert risk(settle(gain_error=0.0), gain_unit=0.05) == 0
    assert risk(settle(gain_error=0.02), gain_unit=0.05) == pytest.approx(0.4 / 3)
    assert risk(settle(gain_error=None), gain_unit=0.05) == pytest.approx(1 / 3)
    troubled = settle(gain_error=9.0, errors=4, recoveries=1, loss_variance=0.5)
    assert risk(troubled, gain_unit=0.05) == pytest.approx((1 + 0.75 + 0.5) / 3)


@pytest.mark.parametrize("name", [name for name in SIGNS if name != "accuracy"])
def test_only_accuracy_depends_on_the_gain(settle: Any, name: str) -> None:
    rewards = [MultiMetric(clock="wall").judge(settle(gain=gain)) for gain in (-0.5, 0.0, 0.3)]
    assert len({reward.components[name] for reward in rewards}) == 1


def test_cost_and_risk_are_subtracted() -> None:
    assert {name for name, sign in SIGNS.items() if sign < 0} == {"cost", "risk"}
