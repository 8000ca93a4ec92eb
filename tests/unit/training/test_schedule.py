import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.training.schedule import SCHEDULES, learning_rate_factor


@pytest.mark.parametrize(
    ("schedule", "progress", "factor"),
    [
        ("wsd", 0.0, 1.0),
        ("wsd", 0.6, 1.0),
        ("wsd", 0.8, 0.5),
        ("wsd", 1.0, 0.0),
        ("wsd", 1.5, 0.0),
        ("cosine", 0.0, 1.0),
        ("cosine", 1 / 3, 0.75),
        ("cosine", 0.5, 0.5),
        ("cosine", 1.0, 0.0),
        ("constant", 0.0, 1.0),
        ("constant", 1.0, 1.0),
    ],
)
def test_the_rate_goes_through_its_points(schedule: str, progress: float, factor: float) -> None:
    assert learning_rate_factor(schedule, progress, 0.6) == pytest.approx(factor, abs=1e-12)


@given(st.sampled_from(list(SCHEDULES)), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_rate_never_rises_and_stays_between_nothing_and_its_highest(
    schedule: str, one: float, other: float, stable_until: float
) -> None:
    early, late = sorted((one, other))
    before = learning_rate_factor(schedule, early, stable_until)
    after = learning_rate_factor(schedule, late, stable_until)
    assert 0.0 <= after <= before + 1e-12 <= 1.0 + 1e-12


def test_a_part_of_nothing_and_one_of_everything_are_constant_parts_too() -> None:
    assert learning_rate_factor("wsd", 1.0, 1.0) == 1.0
    assert learning_rate_factor("wsd", 0.25, 0.0) == 0.75
    assert math.isclose(learning_rate_factor("wsd", 0.0, 0.0), 1.0)
