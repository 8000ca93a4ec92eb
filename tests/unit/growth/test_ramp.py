import json
import math
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.growth.options import RAMPS
from esper.growth.ramp import SHAPES, Ramp

unit = st.floats(0.0, 1.0)


def walk(ramp: Ramp) -> list[float]:
    """Return every alpha from the first to one step past the end."""
    alphas = [ramp.alpha]
    while not ramp.is_done:
        ramp.step += 1
        alphas.append(ramp.alpha)
    ramp.step += 1
    return [*alphas, ramp.alpha]


@given(st.sampled_from(RAMPS), unit, unit, st.integers(0, 200))
def test_a_ramp_is_monotone_and_ends_exactly_at_its_target(
    shape: str, start: float, target: float, num_steps: int
) -> None:
    alphas = walk(Ramp(shape, start, target, num_steps))
    downward = target < start
    assert alphas == sorted(alphas, reverse=downward)
    assert alphas[-1] == alphas[-2] == target
    assert alphas[0] == (start if num_steps else target)
    assert len(alphas) == num_steps + 2


@given(st.sampled_from(RAMPS), unit, unit, st.integers(10**6, 10**12))
def test_no_rounding_carries_a_long_ramp_past_its_target(
    shape: str, start: float, target: float, num_steps: int
) -> None:
    low, high = sorted((start, target))
    for step in (num_steps - 1, num_steps - 2, 1):
        assert low <= Ramp(shape, start, target, num_steps, step).alpha <= high


@pytest.mark.parametrize(
    ("shape", "quarter"),
    [
        ("linear", 0.25),
        ("cosine", (1 - math.sqrt(0.5)) / 2),
        # (s(-2.5) - s(-5)) / (1 - 2 s(-5)) with the logistic curve s
        ("sigmoid", (0.0758581800 - 0.0066928509) / (1 - 2 * 0.0066928509)),
    ],
)
def test_each_shape_goes_through_its_points(shape: str, quarter: float) -> None:
    points = [Ramp(shape, 0.0, 1.0, 4, step).alpha for step in range(5)]
    assert points == pytest.approx([0.0, quarter, 0.5, 1 - quarter, 1.0], abs=1e-8)
    half_down = Ramp(shape, 1.0, 0.2, 4, 2).alpha
    assert half_down == pytest.approx(0.6)


def test_every_option_has_a_shape() -> None:
    assert set(RAMPS) == set(SHAPES)


def test_a_ramp_can_be_saved_in_the_middle() -> None:
    ramp = Ramp("cosine", 0.1, 0.9, 7, 3)
    again = Ramp(**json.loads(json.dumps(asdict(ramp))))
    assert walk(again) == walk(ramp)
