"""When a host becomes wider, by curves that can be checked by hand."""

import json
import math

import pytest

from esper.policy.rules.widening import Widening

GUESS = 10.0


def curve(*losses: float, widening: Widening | None = None, first: int = 1) -> Widening:
    """Return a run with a FLOP an epoch."""
    found = widening or Widening()
    for epoch, loss in enumerate(losses, start=first):
        found.add(float(epoch), loss)
    return found


def power(exponent: float, epochs: range) -> list[float]:
    """Return losses whose slope is an exponent at any time."""
    return [epoch**-exponent for epoch in epochs]


def test_a_power_law_has_its_exponent_as_slope_and_no_reason_to_widen() -> None:
    run = curve(*power(0.7, range(1, 21)))
    assert run.slope == pytest.approx(0.7)
    assert run.steepest == pytest.approx(0.7)
    assert run.reason(GUESS) is None


def test_it_widens_where_the_slope_falls_under_half_of_the_steepest() -> None:
    falling = power(0.8, range(1, 9))
    run = curve(*falling)
    assert run.reason(GUESS) is None
    # A flat end: the loss of epoch 8 for ever.
    for epoch in (9, 10):
        run.add(float(epoch), falling[-1])
    # Of epochs 7 and 10: 0.8 ln(8 / 7) / ln(10 / 7).
    assert run.slope == pytest.approx(0.8 * math.log(8 / 7) / math.log(10 / 7))
    assert run.reason(GUESS) == (
        "the validation loss falls by 0.3 % for 1 % more FLOPs, under half of its steepest, 0.8 %"
    )


@pytest.mark.parametrize(
    ("losses", "guess"),
    [
        ([*power(0.8, range(1, 4)), *[0.4] * 4], GUESS),  # 7 epochs
        ([*power(0.8, range(1, 6)), *[0.25] * 9], 0.26),  # of what a guess would bring
        ([*power(0.8, range(1, 6)), *[0.25] * 8, 0.256], GUESS),  # 2.4 % above the lowest
        ([1.0, math.inf, *[0.5] * 2, *[math.inf] * 6], GUESS),
    ],
    ids=["too young", "has not learned", "rises", "is not finite"],
)
def test_it_does_not_widen(losses: list[float], guess: float) -> None:
    assert curve(*losses).reason(guess) is None


def test_a_size_must_hold_the_best_network_once_twice_the_flops_are_spent() -> None:
    run = curve(*power(0.8, range(1, 9)), 0.19, 0.19, 0.19)
    assert run.reason(GUESS) is not None
    assert not run.has_failed(best_epoch=11)
    run.begin(11.0, 11)
    run.add(12.0, 0.5)
    assert run.slope is None
    curve(*[0.2] * 9, widening=run, first=13)
    assert not run.has_failed(best_epoch=11)
    run.add(22.0, 0.2)
    assert run.has_failed(best_epoch=11)
    assert not run.has_failed(best_epoch=12)
    run.end()
    assert not run.has_failed(best_epoch=11)
    assert run.reason(GUESS) is None


def test_a_state_goes_through_json() -> None:
    run = curve(*power(0.8, range(1, 9)))
    run.begin(8.0, 8)
    run.add(9.0, 0.2)
    assert Widening.load(json.loads(json.dumps(run.state_dict()))) == run
