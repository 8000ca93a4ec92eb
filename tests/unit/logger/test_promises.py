"""A promise is settled by the best gain of its seeds, and three of them have a correlation."""

import pytest

from esper.logger.promises import Promise, Promises


def kept(*pairs: tuple[float, float]) -> Promises:
    promises = Promises()
    for epoch, (expected, measured) in enumerate(pairs):
        promises.promise(epoch, "a", expected)
        promises.settle(epoch, "a", measured)
    return promises


def test_the_best_seed_of_a_plan_is_what_came_of_its_promise() -> None:
    promises = Promises()
    promises.promise(3, "a", 0.05)
    promises.promise(3, "b", None)
    for gain in (0.01, 0.04, -0.02, None):
        promises.settle(3, "a", gain)
    assert promises.made == [Promise(epoch=3, slot="a", expected=0.05, measured=0.04)]


def test_a_gain_belongs_to_the_plan_of_its_epoch_and_slot_alone() -> None:
    promises = Promises()
    promises.promise(3, "a", 0.05)
    assert promises.settle(4, "a", 0.1) is None
    assert promises.settle(3, "b", 0.1) is None
    assert promises.made[0].measured is None


def test_the_correlation_is_pearsons() -> None:
    # Deviations -1 0 1 and -2 1 1: 3 / sqrt(2 * 6).
    assert kept((1.0, 0.0), (2.0, 3.0), (3.0, 3.0)).correlation == pytest.approx(0.8660254)
    assert kept((1.0, 3.0), (2.0, 2.0), (3.0, 1.0)).correlation == pytest.approx(-1.0)


def test_two_pairs_and_equal_promises_have_no_correlation() -> None:
    assert kept((1.0, 0.0), (2.0, 3.0)).correlation is None
    assert kept((1.0, 0.0), (1.0, 3.0), (1.0, 2.0)).correlation is None
