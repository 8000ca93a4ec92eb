"""Training steps that leave a kernel on trial out at random."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from esper.contracts.stage import ON_TRIAL, SeedStage
from esper.growth.attach import kernels_of
from esper.growth.coin import Coin
from esper.growth.host import Host
from tests.unit.growth.builders import (
    batches,
    blended,
    grow,
    kernel_of,
    make_host,
    same,
    shadowed,
    tensors,
    train,
)

_S = SeedStage
COIN = Coin(rng_seed=0, probability=0.5)
NUM_STEPS = 24


def momentum(parameters: Any, lr: float) -> Optimizer:
    return SGD(parameters, lr=lr, momentum=0.9)


def amsgrad(parameters: Any, lr: float) -> Optimizer:
    return AdamW(parameters, lr=lr, amsgrad=True)


def one_step(host: Host, number: int, *, set_to_none: bool = True) -> None:
    (x, y), *_ = batches(number, steps=1)
    host.optimizer.zero_grad(set_to_none=set_to_none)
    nn.functional.cross_entropy(host.model(x), y).backward()
    host.optimizer.step()


def state_of(host: Host, kernel: nn.Module) -> dict[str, Tensor]:
    """Return copies of a kernel's weights and of their moments."""
    state = {name: p.detach().clone() for name, p in kernel.named_parameters()}
    for name, parameter in kernel.named_parameters():
        for key, value in host.optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                state[f"{name}/{key}"] = value.clone()
    return state


def tossed(host: Host, slot: str = "block1") -> set[str]:
    return set(kernels_of(host.slots[slot].module).tossed)


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("optimizer", [Adam, amsgrad, momentum])
def test_a_muted_step_leaves_weights_and_moments_of_the_kernel_bit_identical(
    optimizer: Any, set_to_none: bool
) -> None:
    host = make_host("mlp", optimizer=optimizer, coin=COIN)
    kernel = shadowed(host, "block1")
    one_step(host, 0)
    host.begin_epoch()
    muted_steps = 0
    for number in range(1, NUM_STEPS + 1):
        before, hosts = state_of(host, kernel), tensors(host.model)
        # The first step, above, has number 0.
        is_muted = COIN.mutes("block1", 0, 1, number)
        assert tossed(host) == ({"0"} if is_muted else set())
        one_step(host, number, set_to_none=set_to_none)
        assert same(state_of(host, kernel), before) == is_muted
        assert not same(tensors(host.model), hosts), "the host trains at each step"
        muted_steps += is_muted
    assert 0 < muted_steps < NUM_STEPS


def test_a_muted_step_is_one_of_the_network_without_the_kernel() -> None:
    host = make_host("mlp", coin=COIN)
    shadowed(host, "block1")
    host.begin_epoch()
    number = 0
    while not tossed(host):
        one_step(host, number)
        number += 1
    bare = make_host("mlp")
    bare.model.load_state_dict(tensors(host.model))
    one_step(host, 99)
    one_step(bare, 99)
    assert same(tensors(host.model), tensors(bare.model))


def test_evaluations_never_leave_a_kernel_out() -> None:
    host = make_host("mlp", coin=COIN)
    kernel = shadowed(host, "block1")
    (x, _), *_ = batches()
    kernels_of(host.slots["block1"].module).tossed.add("0")
    calls = []
    kernel.register_forward_hook(lambda *_: calls.append(1))
    host.model.eval()
    evaluated = host.model(x)
    with torch.no_grad():
        assert torch.equal(host.model(x), evaluated)
    assert len(calls) == 2
    host.model.train()
    trained = host.model(x)
    assert len(calls) == 2
    assert not torch.equal(trained, evaluated)


@pytest.mark.parametrize("stage", [_S.TRAINING, _S.BLENDING, _S.FOSSILIZED])
def test_only_kernels_on_trial_are_left_out(stage: SeedStage) -> None:
    host = make_host("mlp", coin=Coin(0, 0.99))
    if stage is _S.TRAINING:
        grow(host, "block1")
    else:
        blended(host, "block1")
    if stage is _S.FOSSILIZED:
        for each in (_S.SHADOWING, _S.PROBATIONARY, stage):
            host.advance("block1", 0, each, None, "")
    assert stage not in ON_TRIAL
    kernel = kernel_of(host, "block1")
    host.begin_epoch()
    for number in range(8):
        before = state_of(host, kernel)
        one_step(host, number)
        assert not same(state_of(host, kernel), before)
        assert tossed(host) == set()
    assert host.muted_flops == 0.0


@pytest.mark.parametrize("stage", sorted(ON_TRIAL))
def test_kernels_on_trial_are_left_out_until_they_are_kept(stage: SeedStage) -> None:
    host = make_host("mlp", coin=Coin(0, 0.99))
    shadowed(host, "block1")
    if stage is _S.PROBATIONARY:
        host.advance("block1", 0, stage, None, "")
    host.begin_epoch()
    seen = []
    for number in range(8):
        seen.append(tossed(host))
        one_step(host, number)
    assert seen.count({"0"}) >= 6
    for each in (_S.PROBATIONARY, _S.FOSSILIZED):
        if each is not stage:
            host.advance("block1", 0, each, None, "")
    host.begin_epoch()
    assert tossed(host) == set()


def test_kernels_on_trial_have_coins_of_their_own() -> None:
    host = make_host("mlp", coin=COIN)
    for seed in (0, 1):
        shadowed(host, "block1", seed)
    host.begin_epoch()
    patterns = []
    for number in range(NUM_STEPS):
        patterns.append(frozenset(tossed(host)))
        one_step(host, number)
    expected = [
        frozenset(str(seed) for seed in (0, 1) if COIN.mutes("block1", seed, 1, step))
        for step in range(NUM_STEPS)
    ]
    assert patterns == expected
    assert len(set(patterns)) == 4


def test_muted_steps_save_their_flops() -> None:
    host = make_host("mlp", coin=COIN)
    shadowed(host, "block1")
    host.begin_epoch()
    for number in range(8):
        one_step(host, number)
    share = sum(COIN.mutes("block1", 0, 1, step) for step in range(8)) / 8
    kernel = host.seed("block1", 0).activation.flops
    assert 0 < share < 1
    assert host.epoch_flops(100) == pytest.approx(100 * (host.flops - share * kernel))
    host.end_epoch()
    assert host.muted_flops == 0.0


def test_without_a_coin_no_step_differs() -> None:
    host = make_host("mlp")
    kernel = shadowed(host, "block1")
    host.begin_epoch()
    for number in range(8):
        before = state_of(host, kernel)
        train(host.model, host.optimizer, number, steps=1)
        assert not same(state_of(host, kernel), before)


def test_micro_batches_of_a_step_share_its_coin() -> None:
    host = make_host("mlp", optimizer=Adam, coin=Coin(0, 0.99))
    kernel = shadowed(host, "block1")
    host.begin_epoch()
    assert tossed(host) == {"0"}
    before = state_of(host, kernel)
    for x, y in batches(steps=3):
        nn.functional.cross_entropy(host.model(x), y).backward()
        assert tossed(host) == {"0"}
    host.optimizer.step()
    assert same(state_of(host, kernel), before)
