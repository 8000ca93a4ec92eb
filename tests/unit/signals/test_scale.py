import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.signals.scale import (
    UNKNOWN,
    Column,
    Scale,
    change,
    count,
    loss,
    scaled,
    scaled_rows,
    share,
)

SCALES = [share(), count(100), loss(), change(0.1), change(-0.5), Scale(centre=3.0, spread=2.0)]


@pytest.mark.parametrize(
    ("scale", "raw", "expected"),
    [
        (share(), 0.75, 0.5),
        (count(99), 0, -1.0),
        (count(99), 9, 0.0),
        (count(99), 99, 1.0),
        (loss(), 0.0, 1.0),
        (loss(), 10.0, -1.0),
        (loss(), 1e9, -1.0),
        (change(0.1), 0.05, 0.5),
        (change(-0.5), -0.25, 0.5),
    ],
)
def test_fixed_points_of_each_scale(scale: Scale, raw: float, expected: float) -> None:
    assert scale(raw) == pytest.approx(expected)


@pytest.mark.parametrize("scale", SCALES)
@given(raw=st.floats(-1e12, 1e12))
def test_no_known_value_looks_unknown(scale: Scale, raw: float) -> None:
    assert -1 <= scale(raw) <= 1
    assert abs(scale(raw) - UNKNOWN) >= 0.5


def test_a_smaller_loss_scales_higher() -> None:
    scaled = [loss()(value) for value in (0.01, 0.1, 1.0, 2.3, 5.5)]
    assert scaled == sorted(scaled, reverse=True)
    assert len(set(scaled)) == 5


class Pair(Column):
    LEFT = share()
    RIGHT = change(0.1)
    AGAIN = share()


def test_columns_count_from_0_and_a_row_is_scaled_column_by_column() -> None:
    assert [int(column) for column in Pair] == [0, 1, 2]
    assert scaled([0.75, -0.05, math.nan], Pair) == pytest.approx([0.5, -0.5, UNKNOWN])
    with pytest.raises(ValueError, match="zip"):
        scaled([0.0, 0.0], Pair)


class Mixed(Column):
    SHARE = share()
    COUNT = count(100)
    LOSS = loss()
    CHANGE = change(-0.5)


@given(st.lists(st.tuples(*[st.floats(-1e9, 1e9) | st.just(math.nan)] * 4), max_size=5))
def test_many_rows_are_scaled_as_one_by_one(rows: list[tuple[float, ...]]) -> None:
    found = scaled_rows(rows, Mixed)
    assert found.shape == (len(rows), 4)
    for row, values in zip(rows, found.tolist(), strict=True):
        assert values == pytest.approx(scaled(row, Mixed), abs=1e-6)


def test_rows_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="reshape"):
        scaled_rows([(0.5, 0.5)], Mixed)
