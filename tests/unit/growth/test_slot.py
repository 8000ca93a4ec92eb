import math

import pytest

from esper.contracts.slot import Look
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
    state = Seed("block1", 2, "mlp").state(epoch=9, settled_flops=100.0)
    assert (state.stage, state.bound, state.is_live) == (SeedStage.DORMANT, "mlp", False)
    assert state.epochs_since_germination is None
    assert state.gain is None
    assert state.alpha_target == 1.0


def test_a_live_seed_tells_of_its_life() -> None:
    host = make_host("mlp")
    grow(host, "block1", 1, "affine", alpha_target=0.4)
    seed = host.seed("block1", 1)
    seed.activation.gain, seed.activation.gain_error = 0.1, 0.01
    seed.activation.gradient.add(9.0)
    seed.activation.gradient_norm, seed.activation.unhealthy_epochs = 0.5, 2
    seed.activation.improvement, seed.activation.improvement_error = 0.25, 0.125
    state = seed.state(epoch=3, settled_flops=256.0)
    assert state.is_live
    assert (state.epochs_since_germination, state.activations, state.last_used_epoch) == (3, 1, 0)
    assert (state.alpha, state.alpha_target, state.parameters) == (0.0, 0.4, 4 * 8 + 8)
    assert (state.gain, state.gain_error) == (0.1, 0.01)
    assert (state.gradient_norm, state.unhealthy_epochs, state.ablation) == (0.5, 2, None)
    assert (state.improvement, state.improvement_error) == (0.25, 0.125)
    # An affine kernel of 4 -> 8 features: 2 FLOPs a weight, a quarter of the others' 256.
    assert state.added_flops == 0.25


def test_a_look_is_seen_at_its_own_epoch_only() -> None:
    host = make_host("mlp")
    grow(host, "block1")
    seed = host.seed("block1", 0)
    look = Look(epoch=4, age=4, is_last=False, bar=0.005)
    assert seed.state(4, 1.0).look is None
    seed.activation.look = look
    assert [seed.state(epoch, 1.0).look for epoch in (3, 4, 5)] == [None, look, None]


def test_flops_are_relative_to_the_network_without_live_kernels() -> None:
    host = make_host("sequential", ["0", "1"])
    bare = host.flops
    grow(host, "0", 0, "affine")
    grow(host, "1", 0, "affine")
    added = [host.seed(slot, 0).activation.flops for slot in ("0", "1")]
    states = {state.spec.name: state.seeds[0] for state in host.states(1)}
    assert host.settled_flops == bare
    assert states["0"].added_flops == added[0] / bare
    assert states["1"].added_flops == added[1] / bare
    assert host.states(1)[0].seeds[1].added_flops == 0.0
    host.blend("0", 0, 1.0, None, "")
    for stage in (SeedStage.SHADOWING, SeedStage.PROBATIONARY, SeedStage.FOSSILIZED):
        host.advance("0", 0, stage, None, "")
    assert host.settled_flops == bare + added[0]
    states = {state.spec.name: state.seeds[0] for state in host.states(1)}
    assert states["1"].added_flops == added[1] / (bare + added[0])


def test_a_life_that_is_not_there_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="seed 1 of slot 'a' has no kernel"):
        _ = Seed("a", 1, "mlp").activation


def test_a_slot_tells_of_all_its_seeds() -> None:
    host = make_host("mlp")
    slot = host.slots["block1"]
    grow(host, "block1", 3)
    slot.rests_until, slot.last_cull_epoch = 7, 2
    state = slot.state(epoch=1, settled_flops=100.0)
    assert [seed.seed for seed in state.seeds] == [0, 1, 2, 3]
    assert [seed.seed for seed in state.live] == [3]
    assert (state.rests_until, state.last_cull_epoch) == (7, 2)
    assert state.spec is slot.spec
