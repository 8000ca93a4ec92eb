import math

import pytest

from esper.contracts.stage import SeedStage
from esper.growth.slot import GradientHealth, Seed
from tests.unit.growth.builders import grow, make_host


def test_the_mean_gradient_is_known_once_measured_and_finite() -> None:
    health = GradientHealth()
    assert (health.mean, health.is_finite) == (None, True)
    health.add(1.0)
    health.add(3.0)
    assert health.mean == 2.0
    health.add(math.nan)
    health.add(1.0)
    assert (health.mean, health.is_finite) == (None, False)


def test_a_dormant_seed_has_nothing_measured() -> None:
    state = Seed("block1", 2, "mlp").state(epoch=9)
    assert (state.stage, state.bound, state.is_live) == (SeedStage.DORMANT, "mlp", False)
    assert state.epochs_since_germination is None
    assert state.gain is None
    assert state.alpha_target == 1.0


def test_a_live_seed_tells_of_its_life() -> None:
    host = make_host("mlp")
    grow(host, "block1", 1, "affine", alpha_target=0.4)
    seed = host.seed("block1", 1)
    seed.activation.gain, seed.activation.gain_error = 0.1, 0.01
    seed.activation.gradient.add(0.5)
    state = seed.state(epoch=3)
    assert state.is_live
    assert (state.epochs_since_germination, state.activations, state.last_used_epoch) == (3, 1, 0)
    assert (state.alpha, state.alpha_target, state.parameters) == (0.0, 0.4, 4 * 8 + 8)
    assert (state.gain, state.gain_error) == (0.1, 0.01)
    assert (state.gradient_norm, state.ablation, state.improvement) == (0.5, None, None)


def test_a_life_that_is_not_there_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="seed 1 of slot 'a' has no kernel"):
        _ = Seed("a", 1, "mlp").activation


def test_a_slot_tells_of_all_its_seeds() -> None:
    host = make_host("mlp")
    slot = host.slots["block1"]
    grow(host, "block1", 3)
    slot.rests_until, slot.last_cull_epoch = 7, 2
    state = slot.state(epoch=1)
    assert [seed.seed for seed in state.seeds] == [0, 1, 2, 3]
    assert [seed.seed for seed in state.live] == [3]
    assert (state.rests_until, state.last_cull_epoch) == (7, 2)
    assert state.spec is slot.spec
