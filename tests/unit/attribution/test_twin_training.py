"""A twin trains on the network's batches in any loop, and does not affect the network."""

import random
from typing import Any

import numpy
import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer, lr_scheduler

from esper.attribution.options import Attribution
from esper.attribution.twin import Train
from esper.contracts.plan import Plan
from esper.growth.param_groups import hide_kernels
from tests.unit.attribution.runs import FIRST, SECOND, TWIN, Run, assert_identical, run
from tests.unit.growth.builders import (
    adam_host,
    batches,
    evaluate,
    germination,
    make_host,
    make_model,
    train,
)


def shuffled(source: str) -> Train:
    """Return a user's loop that shuffles with a global generator."""

    def loop(model: nn.Module, optimizer: Optimizer) -> None:
        model.train()
        drawn = batches(0, steps=6)
        if source == "python":
            random.shuffle(drawn)
        elif source == "numpy":
            drawn = [drawn[i] for i in numpy.random.permutation(6)]
        else:
            drawn = [drawn[i] for i in torch.randperm(6).tolist()]
        for x, y in drawn:
            optimizer.zero_grad()
            noisy = x + 0.1 * torch.randn_like(x) + 0.1 * random.random()
            nn.functional.cross_entropy(model(noisy), y).backward()
            optimizer.step()

    return loop


def drawing(model: nn.Module) -> Any:
    """Evaluate like a data loader that draws from the global generator."""
    torch.empty((), dtype=torch.int64).random_()
    losses, hits = evaluate(model)
    order = torch.randperm(len(losses))
    return losses[order], hits[order]


@pytest.mark.parametrize("source", ["python", "numpy", "torch"])
def test_a_twin_sees_the_batches_of_a_loop_that_shuffles_and_is_not_felt_by_it(source: str) -> None:
    def go(with_twin: bool, plans: dict[int, list[Plan]]) -> Run:
        random.seed(3)
        numpy.random.seed(3)
        torch.manual_seed(3)
        host = adam_host(make_model("sequential"), ["0", "1"], example=torch.ones(2, 4))
        random.seed(3)
        torch.manual_seed(3)
        made = Run(host, plans, TWIN if with_twin else Attribution())
        loop = shuffled(source)
        for _ in range(7):
            loop(made.model, made.host.optimizer)
            made.step(drawing, loop if with_twin else None)
        return made

    grown, bare = go(True, {2: [FIRST], 3: [SECOND]}), go(True, {})
    first, _ = grown.twins
    alone = go(True, {3: [SECOND]})
    assert_identical(first, alone.host)
    assert_identical(alone.twins[0], bare.host)
    without = go(False, {2: [FIRST], 3: [SECOND]})
    assert_identical(without.host, grown.host)


class Scheduled:
    """A run with a user's scheduler, stepped after each batch or each epoch."""

    def __init__(self, plans: dict[int, list[Plan]], *, per_batch: bool) -> None:
        def momentum(parameters: Any, lr: float) -> Optimizer:
            return SGD(parameters, lr=lr, momentum=0.9)

        host = make_host("sequential", ["0", "1"], optimizer=momentum)
        self.per_batch, self.run = per_batch, Run(host, plans)
        self.scheduler: lr_scheduler.LRScheduler = (
            lr_scheduler.OneCycleLR(host.optimizer, max_lr=0.3, total_steps=60)
            if per_batch
            else lr_scheduler.LambdaLR(host.optimizer, lambda e: 0.7**e)
        )
        hide_kernels([self.scheduler])

    def train(self, model: nn.Module, optimizer: Optimizer) -> None:
        for x, y in batches(self.run.epoch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            if self.per_batch and optimizer is self.run.host.optimizer:
                self.scheduler.step()

    def go(self, epochs: int) -> "Scheduled":
        for _ in range(epochs):
            number = self.run.epoch

            def again(model: nn.Module, optimizer: Optimizer, number: int = number) -> None:
                now, self.run.epoch = self.run.epoch, number
                self.train(model, optimizer)
                self.run.epoch = now

            again(self.run.model, self.run.host.optimizer)
            if not self.per_batch:
                self.scheduler.step()
            self.run.step(trained=again)
        return self


@pytest.mark.parametrize("per_batch", [True, False])
def test_a_twin_has_the_schedule_of_the_network_whoever_steps_it(per_batch: bool) -> None:
    growing = Scheduled({2: [FIRST]}, per_batch=per_batch).go(7)
    bare = Scheduled({}, per_batch=per_batch).go(7)
    assert_identical(growing.run.twins[0], bare.run.host)


def test_a_loop_that_trains_the_network_in_the_twins_place_is_refused() -> None:
    growing = run({1: [FIRST]}).go(1)
    scheduler = lr_scheduler.ExponentialLR(growing.host.optimizer, 0.5)

    def deaf(*_: Any) -> None:
        train(growing.model, growing.host.optimizer)

    def stepping(model: nn.Module, optimizer: Optimizer) -> None:
        train(model, optimizer)
        scheduler.step()

    for wrong in (deaf, stepping):
        train(growing.model, growing.host.optimizer)
        with pytest.raises(ValueError, match="the network's own optimizer or schedule"):
            growing.step(trained=wrong)


@pytest.mark.parametrize("left_in_eval_mode", [False, True])
def test_a_twin_trains_in_the_modes_of_the_network(left_in_eval_mode: bool) -> None:
    modes: list[list[bool]] = []

    def train_only(model: nn.Module, optimizer: Optimizer) -> None:
        modes.append([module.training for module in model.modules()][:4])
        for x, y in batches():
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    x = torch.randn(4, 4)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    growing = Run(make_host(model, ["2"], example=x), {1: [germination("2", 0, "mlp")]})
    for _ in range(2):
        model.train()
        model[1].eval()
        train_only(model, growing.host.optimizer)
        if left_in_eval_mode:
            model.eval()
        growing.step(trained=train_only)

    # A frozen batch norm stays so; who leaves the network in eval mode sets its mode in `train`.
    frozen, thawed = [True, True, False, True], [True, True, True, True]
    assert modes == [frozen, frozen, thawed if left_in_eval_mode else frozen]
