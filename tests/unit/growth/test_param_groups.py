import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop, lr_scheduler

from esper.growth import param_groups
from tests.unit.growth.builders import (
    adam_host,
    grow,
    kernel_of,
    make_host,
    make_model,
    same,
    tensors,
    train,
)


def momentum(parameters: Any, **settings: Any) -> Optimizer:
    return SGD(parameters, momentum=0.9, weight_decay=0.01, **settings)


OPTIMIZERS = {"sgd": momentum, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "adagrad": Adagrad}


def state_of(optimizer: Optimizer, model: nn.Module) -> dict[str, dict[str, Any]]:
    """Return copies of the optimizer's state by the name of the host's parameter."""
    names = {p: n for n, p in model.named_parameters() if "esper_kernels" not in n}
    return {names[p]: copy.deepcopy(state) for p, state in optimizer.state.items() if p in names}


def equal_states(one: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]]) -> bool:
    def equal(mine: Any, theirs: Any) -> bool:
        if isinstance(mine, torch.Tensor) and isinstance(theirs, torch.Tensor):
            return torch.equal(mine, theirs)
        return bool(mine == theirs)

    return one.keys() == other.keys() and all(
        one[n].keys() == other[n].keys() and all(equal(one[n][k], other[n][k]) for k in one[n])
        for n in one
    )


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_growing_and_culling_leave_what_the_optimizer_knows_of_the_host(
    make: Callable[..., Optimizer],
) -> None:
    host = make_host("mlp", optimizer=make)
    train(host.model, host.optimizer)
    known = state_of(host.optimizer, host.model)
    assert known or make is Adagrad

    grow(host, "block1", 0)
    grow(host, "block1", 1, "gated_mlp")
    assert equal_states(state_of(host.optimizer, host.model), known)
    assert len(host.optimizer.param_groups) == 3

    train(host.model, host.optimizer, epoch=1)
    assert not param_groups.stale_entries(host.optimizer, host.model)
    known = state_of(host.optimizer, host.model)
    kernel = kernel_of(host, "block1", 0)
    host.cull("block1", 0, 2, "")

    assert equal_states(state_of(host.optimizer, host.model), known)
    assert list(param_groups.kernel_groups(host.optimizer)) == [("block1", 1)]
    assert not any(p in host.optimizer.state for p in kernel.parameters())
    host.cull("block1", 1, 2, "")
    assert len(host.optimizer.param_groups) == 1
    assert {id(p) for p in host.optimizer.state} <= {id(p) for p in host.model.parameters()}
    assert not param_groups.stale_entries(host.optimizer, host.model)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_cull_gives_back_the_run_that_never_had_the_kernel(
    make: Callable[..., Optimizer],
) -> None:
    host, bare = make_host("mlp", optimizer=make), make_model("mlp")
    optimizer = make(bare.parameters(), lr=0.1)
    for epoch in range(6):
        if epoch == 1:
            grow(host, "block1", 0)
            grow(host, "block1", 2, "affine")
        if epoch == 3:
            host.cull("block1", 0, epoch, "")
            host.cull("block1", 2, epoch, "")
        train(host.model, host.optimizer, epoch)
        host.end_epoch()
        train(bare, optimizer, epoch)
        assert same(tensors(host.model), tensors(bare))
        assert equal_states(state_of(host.optimizer, host.model), state_of(optimizer, bare))
        for mine, theirs in zip(host.model.children(), bare.children(), strict=True):
            for one, other in zip(mine.parameters(), theirs.parameters(), strict=False):
                assert torch.equal(one.grad, other.grad)  # type: ignore[arg-type]


def test_a_kernels_group_is_like_the_hosts_but_has_no_weight_decay() -> None:
    host = make_host("mlp", optimizer=momentum)
    grow(host, "block1", 3)
    first, group = host.optimizer.param_groups
    assert group[param_groups.TAG] == ("block1", 3)
    assert group["params"] == list(kernel_of(host, "block1", 3).parameters())
    assert (first["weight_decay"], group["weight_decay"]) == (0.01, 0.0)
    others = {"params", "weight_decay", param_groups.TAG}
    assert {k: v for k, v in group.items() if k not in others} == {
        k: v for k, v in first.items() if k not in others
    }


def test_groups_have_keys_that_do_not_depend_on_their_order() -> None:
    host = adam_host("mlp")
    grow(host, "block1", 2)
    own, kernel = host.optimizer.param_groups
    host.optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    later = host.optimizer.param_groups[-1]
    keyed = param_groups.groups_by_key(host.optimizer)
    assert list(keyed) == ["0", "1", "block1/2"]
    assert (keyed["0"], keyed["1"], keyed["block1/2"]) == (own, later, kernel)


@pytest.mark.parametrize("blueprint", ["noop", "frozen_random"])
def test_a_kernel_that_cannot_learn_has_no_group(blueprint: str) -> None:
    host = make_host("mlp")
    grow(host, "block1", 0, blueprint)
    assert len(host.optimizer.param_groups) == 1
    host.cull("block1", 0, 1, "")
    assert len(host.optimizer.param_groups) == 1


def test_an_optimizer_that_knows_the_names_of_its_parameters_takes_a_kernel() -> None:
    def named(_: Any, lr: float) -> Optimizer:
        return SGD(model.named_parameters(), lr=lr)

    model = make_model("mlp")
    host = make_host(model, ["block1"], example=torch.ones(2, 4), optimizer=named)
    grow(host, "block1", 0)
    assert host.optimizer.param_groups[1]["param_names"][0].startswith("block1/0/")
    train(model, host.optimizer)


def test_stale_entries_are_found() -> None:
    host = adam_host("mlp")
    grow(host, "block1", 0)
    train(host.model, host.optimizer)
    optimizer, model = host.optimizer, host.model
    _, group = optimizer.param_groups
    assert param_groups.stale_entries(optimizer, model) == []

    del optimizer.param_groups[1]
    assert param_groups.stale_entries(optimizer, model) == [
        "a kernel's parameter is in no group",
        "the optimizer keeps state of a parameter in none of its groups",
    ]
    optimizer.param_groups[1:] = [group, {**group, param_groups.TAG: ("elsewhere", 0)}]
    assert param_groups.stale_entries(optimizer, model) == ["a parameter is in two groups"]
    optimizer.param_groups[1:] = [group, {"params": [nn.Parameter(torch.ones(1))]}]
    assert param_groups.stale_entries(optimizer, model) == []
    left = nn.Parameter(torch.ones(1))
    optimizer.param_groups[1:] = [group, {"params": [left], param_groups.TAG: ("gone", 1)}]
    assert param_groups.stale_entries(optimizer, model) == [
        "the group of slot 'gone' seed 1 has left the model"
    ]


def test_an_optimizer_without_a_group_of_the_host_is_refused() -> None:
    optimizer = SGD([{"params": [nn.Parameter(torch.ones(1))], param_groups.TAG: ("a", 0)}], lr=0.1)
    with pytest.raises(ValueError, match="no parameter group of the host"):
        param_groups.host_group(optimizer)


def test_the_pace_of_an_optimizer_can_be_taken_over() -> None:
    parameters = [nn.Parameter(torch.ones(1)) for _ in range(4)]
    one, other = Adam(parameters[:1], lr=0.1), Adam(parameters[1:2], lr=0.2)
    one.param_groups[0].update(lr=0.03, betas=(0.7, 0.8), eps=0.5)
    param_groups.set_schedule_state(other, param_groups.schedule_state(one))
    group = other.param_groups[0]
    assert (group["lr"], group["betas"], group["eps"]) == (0.03, (0.7, 0.8), 1e-8)

    changing = Adam(parameters[2:3], lr=torch.tensor(0.1))
    taken = param_groups.schedule_state(changing)
    changing.param_groups[0]["lr"].fill_(9.0)
    param_groups.set_schedule_state(other, taken)
    assert float(group["lr"]) == pytest.approx(0.1)


Make = Callable[[Optimizer], lr_scheduler.LRScheduler]
SCHEDULERS: dict[str, Make] = {
    "step": lambda o: lr_scheduler.StepLR(o, 2),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 10),
    "lambda": lambda o: lr_scheduler.LambdaLR(o, lambda e: 1 / (1 + e)),
    "one_cycle": lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.2, total_steps=20),
    "plateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0),
    "restarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 4),
    "cyclic": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, 4),
    "sequential": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, total_iters=3), lr_scheduler.CosineAnnealingLR(o, 9)], [3]
    ),
    "chained": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.LambdaLR(o, lambda e: 0.9**e), lr_scheduler.ConstantLR(o, 0.5, 4)]
    ),
}
SURVIVE = ("step", "cosine", "one_cycle", "plateau")
"""Schedulers that accept further groups."""


def schedule(make: Make, *, hidden: bool) -> tuple[list[float], list[float]]:
    """Return a grown host's learning rates under a schedule, and those of a host without growth."""
    host, bare = make_host("mlp", optimizer=momentum), make_model("mlp")
    optimizers = [host.optimizer, momentum(bare.parameters(), lr=0.1)]
    schedulers = [make(optimizer) for optimizer in optimizers]
    if hidden:
        param_groups.hide_kernels([schedulers[0]])
        param_groups.hide_kernels([schedulers[0]])
    rates: tuple[list[float], list[float]] = ([], [])
    for epoch in range(9):
        if epoch == 2:
            grow(host, "block1", 0)
        if epoch == 7:
            host.cull("block1", 0, epoch, "")
        for model, optimizer, scheduler, found in zip(
            (host.model, bare), optimizers, schedulers, rates, strict=True
        ):
            train(model, optimizer, epoch, steps=1)
            found.append(optimizer.param_groups[0]["lr"])
            for group in param_groups.kernel_groups(optimizer).values():
                assert group["lr"] == 0.1 * found[-1]
            plateau = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
            with warnings.catch_warnings():
                # SequentialLR steps its parts by a deprecated argument.
                warnings.simplefilter("ignore", UserWarning)
                scheduler.step(1.0) if plateau else scheduler.step()
    assert same(tensors(host.model), tensors(bare))
    return rates


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_that_are_named_go_on_as_if_nothing_had_grown(name: str) -> None:
    found, expected = schedule(SCHEDULERS[name], hidden=True)
    assert found == expected
    assert len(set(expected)) > 1


@pytest.mark.parametrize("name", SURVIVE)
def test_some_schedulers_need_not_be_named(name: str) -> None:
    found, expected = schedule(SCHEDULERS[name], hidden=False)
    assert found == expected


def test_a_hidden_scheduler_can_be_saved() -> None:
    model = make_model("mlp")
    scheduler = lr_scheduler.LambdaLR(SGD(model.parameters(), lr=0.1), lambda e: 0.5**e)
    before = scheduler.state_dict()
    param_groups.hide_kernels([scheduler])
    assert scheduler.state_dict() == before
