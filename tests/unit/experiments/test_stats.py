"""Statistics by hand."""

import pytest

from experiments.stats import bootstrap, probability_of_improvement, stratified


def test_groups_weigh_the_same_whatever_their_size() -> None:
    found = stratified([[1.0, 1.0, 1.0, 1.0], [3.0]])
    assert (found.value, found.low, found.high) == (2.0, 2.0, 2.0)


def test_groups_are_resampled_within_themselves() -> None:
    """Groups that differ but do not vary have no interval; resampled together they would."""
    assert stratified([[0.0, 0.0], [10.0, 10.0]]).high == 5.0
    together = bootstrap([0.0, 0.0, 10.0, 10.0])
    assert together.low < 5.0 < together.high
    varied = stratified([[0.0, 2.0], [10.0, 10.0]])
    assert varied.value == 5.5
    assert (varied.low, varied.high) == (5.0, 6.0)


def test_one_group_is_a_plain_bootstrap() -> None:
    values = [0.1, 0.4, -0.2, 0.7, 0.3, 0.0]
    alone = stratified([values])
    assert alone.value == pytest.approx(bootstrap(values).value)
    assert alone.low == pytest.approx(bootstrap(values).low, abs=0.01)


def test_a_tie_is_half_an_improvement() -> None:
    assert probability_of_improvement([1.0, -1.0, 0.0, 2.0]) == 0.625
