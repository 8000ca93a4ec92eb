import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.signals.plateau import PlateauCounter


def test_the_first_improvement_counts_fully_despite_the_smoothing() -> None:
    counter = PlateauCounter(threshold=0.005, smoothing=0.5)
    # Without the correction the average would be 0.003 here, and the epoch flat.
    assert counter.update(0.006) == 0


def test_smoothing_forgives_one_flat_epoch_after_a_good_one() -> None:
    counter = PlateauCounter(threshold=0.005, smoothing=0.5)
    counter.update(0.03)
    # Averages 0.0075, 0.00375, 0.001875 over 0.75, 0.875, 0.9375: 0.01, 0.0043, 0.002.
    assert [counter.update(0.0) for _ in range(3)] == [0, 1, 2]


def test_progress_ends_the_plateau() -> None:
    counter = PlateauCounter(threshold=0.005, smoothing=0.0)
    assert [counter.update(x) for x in (0.0, 0.004, 0.005, 0.0)] == [1, 2, 0, 1]


def test_an_unknown_epoch_is_neither_progress_nor_plateau() -> None:
    counter = PlateauCounter(threshold=0.005, smoothing=0.5)
    counter.update(0.0)
    counter.update(0.0)
    assert counter.update(None) == 2


@given(st.floats(0, 0.99), st.lists(st.floats(0.01, 1.0), min_size=1))
def test_steady_progress_is_never_a_plateau(smoothing: float, improvements: list[float]) -> None:
    counter = PlateauCounter(threshold=0.005, smoothing=smoothing)
    assert {counter.update(x) for x in improvements} == {0}


def test_the_state_goes_on_where_it_was() -> None:
    counter, other = (PlateauCounter(threshold=0.005, smoothing=0.5) for _ in range(2))
    for improvement in (0.02, 0.0, 0.0):
        counter.update(improvement)
    other.load_state_dict(counter.state_dict())
    assert other.state_dict() == pytest.approx(counter.state_dict())
    assert counter.update(0.009) == other.update(0.009)
