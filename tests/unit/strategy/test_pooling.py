"""Partial pooling by hand."""

import pytest

from esper.strategy.pooling import Tally, pool_weight, shrunk_mean


def test_however_many_other_trials_count_for_less_than_one() -> None:
    assert pool_weight(1) == 0.5
    assert pool_weight(4) == 0.8
    assert pool_weight(10**9) == pytest.approx(1.0)


def test_the_mean_lies_between_the_slots_own_and_that_of_the_others() -> None:
    own = Tally(6, 6.0)
    # Six trials of mean 1, and four of mean 0 elsewhere, which are worth 0.8.
    assert shrunk_mean(own, Tally(10, 6.0)) == pytest.approx(6 / 6.8)
    assert shrunk_mean(own, own) == 1.0
    assert shrunk_mean(Tally(), Tally(4, 2.0)) == pytest.approx(0.5)
    assert shrunk_mean(Tally(), Tally()) is None


def test_a_tally_returns_the_growth_of_its_squares() -> None:
    tally = Tally()
    growth = [tally.add(value) for value in (1.0, 3.0, 8.0)]
    # Means 1, 2, 4: squares 0, 2 and 9 + 1 + 16 = 26.
    assert growth == [None, 2.0, 24.0]
    assert tally == Tally(3, 12.0)
