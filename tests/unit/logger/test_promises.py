"""A promise is settled by the gain of its seed, and three of them have a correlation."""

import pytest

from esper.logger.promises import Promise, Promises


def test_the_gain_of_a_seed_is_what_came_of_its_promise() -> None:
    promises = Promises()
    promises.promise(3, "a", 0, "mlp", 0.05)
    promises.promise(3, "a", 1, "lora", 0.02)
    promises.promise(3, "b", 0, "mlp", None)
    for slot, seed, gain in (("a", 0, 0.01), ("a", 1, None), ("b", 0, 0.3)):
        promises.settle(3, slot, seed, gain)
    assert promises.made == [
        Promise(epoch=3, slot="a", seed=0, blueprint="mlp", expected=0.05, measured=0.01),
        Promise(epoch=3, slot="a", seed=1, blueprint="lora", expected=0.02),
    ]
    assert promises.agreement.pairs == 1


def test_a_gain_belongs_to_the_germination_of_its_epoch_slot_and_seed_alone() -> None:
    promises = Promises()
    promises.promise(3, "a", 0, "mlp", 0.05)
    assert promises.settle(4, "a", 0, 0.1) is None
    assert promises.settle(3, "b", 0, 0.1) is None
    assert promises.settle(3, "a", 1, 0.1) is None
    assert promises.made[0].measured is None
    assert promises.settle(3, "a", 0, 0.1) is promises.made[0]


def test_a_kernel_that_is_judged_again_counts_once() -> None:
    promises = Promises()
    promises.promise(3, "a", 0, "mlp", 0.05)
    assert promises.settle(3, "a", 0, 0.1) is promises.made[0]
    assert promises.settle(3, "a", 0, 0.1) is None
    assert promises.agreement.pairs == 1


def test_every_seed_of_a_plan_counts() -> None:
    promises = Promises()
    # Deviations -1 0 1 and -2 1 1: 3 / sqrt(2 * 6).
    for seed, (expected, measured) in enumerate([(1.0, 0.0), (2.0, 3.0), (3.0, 3.0)]):
        assert promises.agreement.correlation is None
        promises.promise(3, "a", seed, "mlp", expected)
        promises.settle(3, "a", seed, measured)
    assert promises.agreement.correlation == pytest.approx(0.8660254)
