import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.signals.plateau import Plateau


def counts(improvements: list[float | None], smoothing: float = 0.5) -> list[int]:
    """Return the count after each epoch, with a threshold of 0.005."""
    plateau, seen = Plateau(), []
    for improvement in improvements:
        plateau = plateau.after(improvement, 0.005, smoothing)
        seen.append(plateau.epochs)
    return seen


def test_the_first_improvement_counts_fully_despite_the_smoothing() -> None:
    # Without the correction the average would be 0.003 here, and the epoch flat.
    assert counts([0.006]) == [0]


def test_smoothing_forgives_one_flat_epoch_after_a_good_one() -> None:
    # Averages 0.0075, 0.00375, 0.001875 over 0.75, 0.875, 0.9375: 0.01, 0.0043, 0.002.
    assert counts([0.03, 0.0, 0.0, 0.0])[1:] == [0, 1, 2]


def test_progress_ends_the_plateau() -> None:
    assert counts([0.0, 0.004, 0.005, 0.0], smoothing=0.0) == [1, 2, 0, 1]


def test_an_unknown_epoch_is_neither_progress_nor_plateau() -> None:
    assert counts([0.0, 0.0, None]) == [1, 2, 2]
    plateau = Plateau(average=0.1, remaining_bias=0.25, epochs=1)
    assert plateau.after(None, 0.005, 0.5) == plateau


@given(st.floats(0, 0.99), st.lists(st.floats(0.01, 1.0), min_size=1))
def test_steady_progress_is_never_a_plateau(smoothing: float, improvements: list[float]) -> None:
    assert set(counts(improvements, smoothing)) == {0}


def test_the_average_and_its_bias_by_hand() -> None:
    plateau = Plateau().after(0.02, 0.005, 0.5).after(0.0, 0.005, 0.5)
    assert (plateau.average, plateau.remaining_bias) == (pytest.approx(0.005), 0.25)
