"""A host restored from its state continues bit for bit."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import SGD, Adam, AdamW

from esper.attribution.options import Attribution
from esper.checkpoint.tree import join, split
from esper.contracts.errors import CheckpointError
from esper.contracts.plan import Action
from esper.contracts.stage import SeedStage
from esper.growth import attach
from esper.growth.coin import Coin
from esper.growth.host_state import host_state, load_host_state, put_weights, weights_of
from tests.unit.attribution.runs import FIRST, SECOND, Run, assert_identical, plan, run
from tests.unit.growth.builders import germination, grow, make_host, train

EPOCHS = 14
PLANS = {
    1: [FIRST],
    2: [SECOND],
    5: [plan("1", Action.CULL)],
    7: [plan("0", Action.FOSSILIZE)],
    9: [germination("0", 1, "gated_mlp")],
    11: [germination("1", 2, "frozen_random")],
}
"""Two twins at a time, a fossil, a cull, and a kernel without trainable parameters."""


Saved = tuple[Any, dict[str, torch.Tensor]]
"""The plain values of a state, and its tensors."""


def saved_after(epochs: int, **growth: Any) -> dict[int, Saved]:
    """Return the states of one run after each of its epochs."""
    old, states = run(PLANS, **growth), {}
    for epoch in range(1, epochs + 1):
        states[epoch] = deepcopy(split(old.go(1).pending.state_dict()))
    return states


def resumed(saved: Saved, epoch: int, **growth: Any) -> Run:
    """Return a fresh run restored from the state after an epoch."""
    fresh = run(PLANS, **growth)
    fresh.pending.load_state_dict(join(*deepcopy(saved)))
    fresh.epoch = epoch
    return fresh


@pytest.fixture(scope="module")
def whole() -> Run:
    return run(PLANS).go(EPOCHS)


@pytest.fixture(scope="module")
def saved() -> dict[int, Saved]:
    return saved_after(EPOCHS - 1)


@pytest.mark.parametrize("saved_at", range(1, EPOCHS))
def test_a_run_goes_on_bit_for_bit_from_any_epoch(
    saved_at: int, whole: Run, saved: dict[int, Saved]
) -> None:
    assert SeedStage.FOSSILIZED in {seed.stage for seed in whole.host.seeds()}
    halves = resumed(saved[saved_at], saved_at).go(EPOCHS - saved_at)
    assert_identical(whole.host, halves.host)
    assert len(whole.twins) == len(halves.twins)
    for mine, theirs in zip(whole.twins, halves.twins, strict=True):
        assert_identical(mine, theirs)
    activations = [[seed.current for seed in each.host.seeds()] for each in (whole, halves)]
    for mine, theirs in zip(*activations, strict=True):
        if mine is not None:
            mine.latency_ms = theirs.latency_ms
    assert activations[0] == activations[1]
    settled_later = [o for o in whole.outcomes if o.settled_epoch > saved_at]
    assert [o.gain for o in settled_later] == [o.gain for o in halves.outcomes]


@pytest.mark.parametrize("growth", [{"on_cull": "twin"}, {"ramp": "sigmoid", "blending_epochs": 2}])
def test_other_ways_to_grow_are_resumed_too(growth: dict[str, Any]) -> None:
    whole = run(PLANS, **growth).go(8)
    saved = saved_after(4, **growth)
    for saved_at in (2, 3, 4):
        halves = resumed(saved[saved_at], saved_at, **growth).go(8 - saved_at)
        assert_identical(whole.host, halves.host)


def conv_run() -> Run:
    """Return a run with batch norms whose kernel is on trial from epoch 3 on, with looks."""
    host = make_host("batch_norm", optimizer=Adam, coin=Coin(0, 0.5), average_epochs=0.5)
    slot = next(iter(host.slots))
    return Run(host, {1: [germination(slot, 0, "conv")]}, Attribution())


def conv_steps(run: Run, steps: range) -> list[tuple[int, bool]]:
    """Take some of an epoch's steps; return the coin of each step of the kernel on trial."""
    coins = []
    slot = next(iter(run.host.slots))
    for step in steps:
        generator = torch.Generator().manual_seed(100 * run.epoch + step)
        x = torch.randn(6, 1, 8, 8, generator=generator)
        y = torch.randint(0, 3, (6,), generator=generator)
        bank = attach.bank_of(run.host.slots[slot].module)
        coins.append((run.host.global_step, bank is not None and bool(bank.tossed)))
        run.host.optimizer.zero_grad()
        torch.nn.functional.cross_entropy(run.model(x), y).backward()
        run.host.optimizer.step()
    return coins


def conv_losses(model: torch.nn.Module) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(8, 1, 8, 8, generator=generator)
    y = torch.randint(0, 3, (8,), generator=generator)
    return torch.nn.functional.cross_entropy(model(x), y, reduction="none")


STEPS = 7


@pytest.mark.parametrize("cut", [0, 1, 3, STEPS])
@pytest.mark.parametrize("epochs", [2, 4, 6])
def test_a_run_resumed_within_an_epoch_of_a_trial_goes_on_bit_for_bit(
    epochs: int, cut: int
) -> None:
    whole = conv_run()
    for _ in range(epochs):
        conv_steps(whole, range(STEPS))
        whole.step(conv_losses)
    conv_steps(whole, range(cut))
    plain, tensors = split(whole.pending.state_dict())
    fresh = conv_run()
    fresh.pending.load_state_dict(join(plain, tensors))
    fresh.epoch = whole.epoch

    assert_identical(whole.host, fresh.host)
    assert whole.host.steps_in_epoch == fresh.host.steps_in_epoch == cut
    assert whole.host.muted_flops == fresh.host.muted_flops
    for each in (whole, fresh):
        each.measured.clear()
    coins = [conv_steps(each, range(cut, STEPS)) for each in (whole, fresh)]
    for _ in range(3):
        assert coins[0] == coins[1]
        assert_identical(whole.host, fresh.host)
        assert whole.host.epoch_flops(10) == fresh.host.epoch_flops(10)
        for each in (whole, fresh):
            each.step(conv_losses)
        coins = [conv_steps(each, range(STEPS)) for each in (whole, fresh)]
    assert any(is_muted for _, is_muted in coins[0])
    assert whole.measured == fresh.measured
    # The kernel germinates at epoch 1: looks at epochs 5 and 7, of the three epochs that follow.
    assert [each.age for each in whole.measured] == {2: [4], 4: [4, 6], 6: [6]}[epochs]
    assert_identical(whole.host, fresh.host)


def test_moments_keep_the_layout_of_their_weights() -> None:
    model = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    hosts = []
    for weights in (model, torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)):
        host = make_host(torch.nn.Sequential(weights), ["0"], example=torch.randn(2, 3, 6, 6),
                         placement="parallel", optimizer=AdamW)  # fmt: skip
        hosts.append(host)
    hosts[0].model(torch.randn(2, 3, 6, 6)).sum().backward()
    hosts[0].optimizer.step()
    plain, tensors = split(host_state(hosts[0]))
    load_host_state(hosts[1], join(plain, tensors))
    (weight, _) = hosts[1].optimizer.param_groups[0]["params"]
    moment = hosts[1].optimizer.state[weight]["exp_avg"]
    assert moment.stride() == weight.stride() != moment.contiguous().stride()


def test_the_state_of_another_host_is_refused_by_name() -> None:
    state = host_state(make_host("mlp"))
    with pytest.raises(CheckpointError, match=r"has the slots .*, the host has "):
        load_host_state(make_host("cnn"), state)
    fewer = host_state(make_host("mlp"))
    del fewer["slots"]["block1"]["seeds"][0]
    with pytest.raises(CheckpointError, match="has 3 seeds in slot 'block1', the host has 4"):
        load_host_state(make_host("mlp"), fewer)
    with pytest.raises(CheckpointError, match="is of another optimizer"):
        load_host_state(
            make_host("mlp"),
            {
                **state,
                "groups": {**state["groups"], "1": {}},
                "moments": {**state["moments"], "1": []},
            },
        )


def test_a_number_of_numpy_among_the_options_of_the_optimizer_is_saved_as_it_is() -> None:
    host = make_host("mlp", optimizer=lambda p, lr: SGD(p, lr=np.float64(0.1)))
    plain, tensors = split(host_state(host)["groups"])
    assert join(plain, tensors)["0"]["lr"] == 0.1


def test_a_kernel_that_is_no_longer_known_is_refused_by_name() -> None:
    grown = run(PLANS).go(1)
    state = grown.pending.state_dict()
    state["host"]["slots"]["0"]["seeds"][0]["current"]["blueprint"] = "gone"
    with pytest.raises(CheckpointError, match="kernel 'gone' in slot '0' cannot be built: unknown"):
        run(PLANS).pending.load_state_dict(state)


def test_an_optimizer_with_momentum_is_taken_up_where_it_was() -> None:
    hosts = [make_host("mlp", optimizer=lambda p, lr: SGD(p, lr, momentum=0.9)) for _ in range(2)]
    for parameter in hosts[0].model.parameters():
        parameter.grad = torch.ones_like(parameter)
    hosts[0].optimizer.step()
    load_host_state(hosts[1], host_state(hosts[0]))
    for parameter in hosts[1].model.parameters():
        assert torch.equal(
            hosts[1].optimizer.state[parameter]["momentum_buffer"], torch.ones_like(parameter)
        )
    assert hosts[1].global_step == 1


def test_a_group_of_the_host_that_came_after_a_kernel_is_taken_up_by_its_key() -> None:
    def of_the_first_two(parameters: Any, lr: float) -> Adam:
        return Adam(list(parameters)[:2], lr)

    grown, fresh = (make_host("mlp", optimizer=of_the_first_two) for _ in range(2))
    rest = [list(host.model.parameters())[2:] for host in (grown, fresh)]
    grow(grown, "block1")
    grown.op_log.clear()
    grown.optimizer.add_param_group({"params": rest[0], "lr": 0.5})
    train(grown.model, grown.optimizer)
    fresh.optimizer.add_param_group({"params": rest[1]})
    plain, tensors = split(host_state(grown))
    load_host_state(fresh, join(plain, tensors))
    assert_identical(grown, fresh)
    assert [group["lr"] for group in fresh.optimizer.param_groups[:2]] == [0.1, 0.5]


def test_weights_are_copied_and_what_they_lack_stays() -> None:
    source, target = (make_host("mlp", optimizer=AdamW) for _ in range(2))
    train(source.model, source.optimizer)
    weights = weights_of(source)
    (kept, bias, *_) = target.model.parameters()
    name = next(name for name, parameter in target.model.named_parameters() if parameter is kept)
    expected = kept.detach().clone()
    del weights["tensors"][name]
    put_weights(target, weights)
    assert torch.equal(kept, expected)
    assert torch.equal(bias, list(source.model.parameters())[1])
    assert target.optimizer.state[bias]["step"] == 4
    target.optimizer.state[bias]["exp_avg"].fill_(9.0)
    assert not (weights["moments"]["0"][1]["exp_avg"] == 9.0).any()

    put_weights(target, {"tensors": {}, "moments": {}})
    assert target.optimizer.state[bias]["step"] == 4, "a group that is not named stays"
    put_weights(target, {"tensors": {}, "moments": {"0": [{}, {}]}})
    assert bias not in target.optimizer.state
