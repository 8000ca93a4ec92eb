import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer

from esper.training.epoch import Epoch, Progress, clip_each_group
from esper.training.optimizer import build_optimizer
from esper.training.options import Training
from tests.unit.growth.builders import (
    awaken,
    batches,
    blended,
    grow,
    kernel_of,
    make_host,
    make_model,
    same,
    tensors,
)


def options(**fields: object) -> Training:
    return Training(**{"optimizer": "sgd", "lr": 0.1, "clip_norm": 0.0, **fields})  # type: ignore[arg-type]


def test_the_rate_follows_the_budget_step_by_step() -> None:
    # Two epochs of four steps, constant for the first half: 1, 1, 1, 1 | 1, 3/4, 1/2, 1/4.
    first, second = (Epoch(options(decay_from=0.5), e, epochs=2, num_steps=4) for e in (1, 2))
    assert [first.learning_rate(step) for step in range(4)] == [0.1] * 4
    rates = [second.learning_rate(step) for step in range(4)]
    assert rates == pytest.approx([0.1, 0.075, 0.05, 0.025])


def test_a_rate_warms_up_over_epochs() -> None:
    # One and a half epochs of four steps: the rate rises by a sixth of the highest each step.
    warm = options(schedule="constant", warmup_epochs=1.5)
    first, second = (Epoch(warm, epoch, epochs=4, num_steps=4) for epoch in (1, 2))
    assert [first.learning_rate(step) for step in range(4)] == pytest.approx(
        [0.1 * part / 6 for part in (1, 2, 3, 4)]
    )
    rates = [second.learning_rate(step) for step in range(4)]
    assert rates == pytest.approx([0.1 * 5 / 6, 0.1, 0.1, 0.1])


def test_a_frozen_host_keeps_its_weights_while_its_kernel_learns() -> None:
    frozen = options(freeze_host=True, optimizer="adamw")
    model, drawn = make_model("sequential"), batches(steps=2)
    host = make_host(model, "1", example=drawn[0][0], optimizer=partial(_freezing, model, frozen))
    before = tensors(model)
    # Without a kernel nothing has a gradient.
    Epoch(frozen, 1, epochs=4, num_steps=2).train(model, host.optimizer, drawn)
    assert same(tensors(model), before)
    kernel = blended(host, "1")
    born = tensors(kernel)
    Epoch(frozen, 2, epochs=4, num_steps=2).train(model, host.optimizer, drawn)
    assert not same(tensors(kernel), born)
    assert same(tensors(model), before)


def _freezing(model: nn.Module, frozen: Training, *_: Any, **__: Any) -> Optimizer:
    return build_optimizer(model, frozen)


def test_an_epoch_is_a_plain_loop_and_tells_the_means_over_its_samples() -> None:
    plain, trained = make_model("sequential"), make_model("sequential").eval()
    optimizer, other = SGD(plain.parameters(), lr=0.1), SGD(trained.parameters(), lr=9.0)
    drawn = [*batches(steps=2), (torch.ones(2, 4), torch.tensor([0, 1]))]
    losses, hits = [], []
    for x, y in drawn:
        optimizer.zero_grad()
        logits = plain(x)
        loss = functional.cross_entropy(logits, y)
        loss.backward()
        optimizer.step()
        losses += [loss.item()] * len(y)
        hits += (logits.argmax(dim=1) == y).tolist()

    report = Epoch(options(), 1, epochs=10, num_steps=3).train(trained, other, drawn)

    assert same(tensors(trained), tensors(plain))
    assert trained.training
    assert report.loss == pytest.approx(sum(losses) / 14)
    assert report.accuracy == sum(hits) / 14
    # Three steps of 6, 6 and 2 samples are three parts.
    assert report.losses == pytest.approx((losses[0], losses[6], losses[12]))
    assert report.first_loss == pytest.approx(losses[0])
    assert (report.num_samples, report.num_steps, report.learning_rate) == (14, 3, 0.1)
    assert report.busy_ms is not None
    assert report.busy_ms > 0


def test_ten_steps_are_eight_parts_of_one_or_two_steps() -> None:
    progress = Progress(losses=[torch.tensor(float(step)) for step in range(10)])
    assert progress.part_losses == (0.0, 1.0, 2.0, 3.5, 5.0, 6.0, 7.0, 8.5)


def test_a_loss_that_is_no_number_is_unknown() -> None:
    model = make_model("sequential")
    with torch.no_grad():
        next(model.parameters()).fill_(math.nan)
    optimizer = SGD(model.parameters(), lr=0.1)
    report = Epoch(options(), 1, epochs=1, num_steps=1).train(model, optimizer, batches(steps=1))
    assert (report.loss, report.first_loss) == (None, None)
    assert not any(map(math.isfinite, report.losses))


def test_only_the_hosts_rate_is_set_and_kernels_follow_it() -> None:
    host = make_host("sequential", ["1"])
    grow(host, "1")
    Epoch(options(), 4, epochs=4, num_steps=4).train(host.model, host.optimizer, batches())
    first, group = host.optimizer.param_groups
    # The last of 16 steps: (1 - 15 / 16) / (1 - 0.6) of the highest rate.
    assert first["lr"] == pytest.approx(0.1 / 16 / 0.4)
    assert group["lr"] == pytest.approx(0.1 * first["lr"])


def two_groups(*gradients: float) -> Optimizer:
    groups = []
    for gradient in gradients:
        weights = [nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(2))]
        weights[0].grad = torch.tensor(3.0 * gradient)
        weights[1].grad = torch.tensor([4.0 * gradient, 0.0])
        groups.append({"params": [*weights, nn.Parameter(torch.zeros(1))]})
    return SGD(groups, lr=0.1)


def gradients(optimizer: Optimizer) -> list[list[float]]:
    return [
        [
            value
            for p in group["params"]
            if p.grad is not None
            for value in p.grad.flatten().tolist()
        ]
        for group in optimizer.param_groups
    ]


def test_every_group_is_clipped_by_its_own_norm() -> None:
    # Norms 5, 0.5 and 50: only what exceeds 1 is scaled.
    optimizer = two_groups(1.0, 0.1, 10.0)
    clip_each_group(optimizer, 1.0)
    unit = pytest.approx([0.6, 0.8, 0.0], rel=1e-5)
    assert gradients(optimizer) == [unit, pytest.approx([0.3, 0.4, 0.0]), unit]


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_group_that_is_not_finite_touches_no_other(broken: float) -> None:
    optimizer = two_groups(1.0, broken)
    clip_each_group(optimizer, 1.0)
    host, kernel = gradients(optimizer)
    assert host == pytest.approx([0.6, 0.8, 0.0], rel=1e-5)
    assert not all(map(math.isfinite, kernel))


@pytest.mark.parametrize("norm", [0.0, -1.0])
def test_no_limit_clips_nothing(norm: float) -> None:
    optimizer = two_groups(7.0)
    clip_each_group(optimizer, norm)
    assert gradients(optimizer) == [[21.0, 28.0, 0.0]]


def test_groups_without_gradients_are_passed_over() -> None:
    clip_each_group(SGD([nn.Parameter(torch.ones(1))], lr=0.1), 1.0)


@pytest.mark.parametrize("max_norm", [0.01, 1.0, 100.0])
def test_clipping_is_that_of_torch_to_the_bit(max_norm: float) -> None:
    def graded() -> tuple[nn.Module, Tensor]:
        model, (x, y) = make_model("cnn"), (torch.ones(3, 1, 8, 8), torch.tensor([0, 1, 2]))
        loss = 9 * functional.cross_entropy(model(x), y)
        loss.backward()
        return model, loss

    (one, _), (other, _) = graded(), graded()
    split = [list(one.parameters())[:3], list(one.parameters())[3:]]
    clip_each_group(SGD([{"params": group} for group in split], lr=0.1), max_norm)
    for group in (list(other.parameters())[:3], list(other.parameters())[3:]):
        nn.utils.clip_grad_norm_(group, max_norm)
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine.grad, theirs.grad)  # type: ignore[arg-type]


@pytest.mark.parametrize("broken", [False, True])
def test_a_kernel_cannot_touch_the_host_through_clipping(broken: bool) -> None:
    host, bare = make_host("sequential", ["1"]), make_model("sequential")
    grow(host, "1")
    awaken(kernel_of(host, "1"))
    with torch.no_grad():
        for weight in kernel_of(host, "1").parameters():
            weight.mul_(math.nan if broken else 1e3)
    epoch = Epoch(options(clip_norm=0.05), 1, epochs=4, num_steps=4)
    epoch.train(host.model, host.optimizer, batches())
    epoch.train(bare, SGD(bare.parameters(), lr=0.1), batches())
    assert same(tensors(host.model), tensors(bare))
