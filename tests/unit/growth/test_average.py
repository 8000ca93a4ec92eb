"""Averages are checked against numbers computed by hand, with weights that are powers of two."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from esper.growth.average import WeightAverage
from tests.unit.growth.builders import adam_host, blended, grow, make_host, same, train

INFINITE = float("inf")


def scalar(value: float, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return a model with one weight."""
    model = nn.Linear(1, 1, bias=False, dtype=dtype)
    set_weight(model, value)
    return model


@torch.no_grad()
def set_weight(model: Any, value: float) -> None:
    model.weight.fill_(value)


def whole_state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_each_step_moves_the_average_by_its_share_of_an_epoch() -> None:
    model = scalar(8.0)
    average = WeightAverage(model, epochs=1.0)
    # A quarter of the way each: 8 -> 8 + (0 - 8) / 4 = 6 -> 6 + (2 - 6) / 4 = 5.
    for weight, mean in ((0.0, 6.0), (2.0, 5.0)):
        set_weight(model, weight)
        average.update(steps_per_epoch=4)
        assert average.mean["weight"].item() == mean
    assert model.weight.item() == 2.0  # type: ignore[union-attr, operator]


def test_short_steps_are_taken_in_together() -> None:
    model = scalar(16.0)
    average = WeightAverage(model, epochs=1.0)
    means = []
    for weight in (9.0, 7.0, 0.0, 9.0, 0.0):
        set_weight(model, weight)
        average.update(steps_per_epoch=16)
        means.append(average.mean["weight"].item())
    # 1 - (15/16)^2 = 31/256 is less than an eighth; the third weights stand for three steps.
    three = 1 - (15 / 16) ** 3
    assert means == pytest.approx([16.0, 16.0, *[16 * (1 - three)] * 3])
    assert average.waiting == pytest.approx(31 / 256)

    # Who reads the average gets the two steps left, at their last weights.
    with average.applied():
        assert model.weight.item() == pytest.approx(16 * (15 / 16) ** 5)  # type: ignore[union-attr, operator]
    assert average.waiting == 0.0
    average.adopt()
    assert model.weight.item() == pytest.approx(16 * (15 / 16) ** 5)  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(
    ("steps", "strides"), [(1, 1), (4, 1), (8, 1), (9, 2), (34, 5), (1000, 134)]
)
def test_an_epoch_is_taken_in_at_most_eight_times(steps: int, strides: int) -> None:
    model = scalar(1.0)
    average = WeightAverage(model, epochs=1.0)
    taken = []
    for step in range(1, steps + 1):
        average.update(steps)
        if average.waiting == 0.0:
            taken.append(step)
    assert taken == list(range(strides, steps + 1, strides))
    assert len(taken) <= 8


def test_the_end_of_an_epoch_takes_in_all_its_steps() -> None:
    host = make_host("mlp")
    host.steps_per_epoch = 16
    start = {name: mean.clone() for name, mean in host.average.mean.items()}
    train(host.model, host.optimizer, 1)
    assert host.steps_in_epoch == 4
    host.end_epoch()
    assert host.average.waiting == 0.0
    assert any(not torch.equal(mean, start[name]) for name, mean in host.average.mean.items())


@pytest.mark.parametrize(
    ("epochs", "steps", "mean"),
    [
        (2.0, 4, 8 - 8 / 8),
        (0.5, 4, 8 - 8 / 2),
        (0.1, 4, 0.0),  # shorter than a step: the last weights
        (0.0, 4, 0.0),
        (1.0, 1, 0.0),
    ],
)
def test_the_length_is_in_epochs(epochs: float, steps: int, mean: float) -> None:
    model = scalar(8.0)
    average = WeightAverage(model, epochs)
    set_weight(model, 0.0)
    average.update(steps)
    assert average.mean["weight"].item() == mean


def test_the_average_of_training_steps_with_a_batch_norm_is_the_one_computed_by_hand() -> None:
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, affine=False))
    set_weight(model[0], 1.0)
    host = make_host(
        nn.Sequential(model, nn.Linear(1, 1, bias=False)), ["1"], example=torch.ones(2, 1)
    )
    set_weight(host.model[1], 4.0)  # type: ignore[index]
    host.average.reset()
    host.steps_per_epoch = 2
    group = host.optimizer.param_groups[0]
    assert group["lr"] == 0.1

    # The batch -1, 1 has mean 0 and variance 2 (of a sample): running variance 1 -> 1.1 -> 1.19,
    # running mean 0.  Normalized it has sum 0, so that no weight moves.
    expected_variance = 1.0
    variance = 1.0
    for _ in range(2):
        host.optimizer.zero_grad()
        host.model(torch.tensor([[-1.0], [1.0]])).sum().backward()
        host.optimizer.step()
        variance = 0.9 * variance + 0.1 * 2
        expected_variance += (variance - expected_variance) / 2
    mean = host.average.mean
    assert variance == pytest.approx(1.19)
    assert mean["0.1.running_var"].item() == pytest.approx(expected_variance)
    assert expected_variance == pytest.approx(1.12)
    assert mean["0.1.running_mean"].item() == 0.0
    assert "0.1.num_batches_tracked" not in mean, "a whole number has no average"

    # Through the last layer alone: its gradient is the input's sum, 1: 4 -> 3.9 -> 3.8.
    weight, expected = 4.0, 4.0
    last = host.model[1]  # type: ignore[index]
    for _ in range(2):
        host.optimizer.zero_grad()
        last(torch.ones(1, 1)).sum().backward()
        host.optimizer.step()
        weight -= 0.1
        expected += (weight - expected) / 2
    assert mean["1.weight"].item() == pytest.approx(expected)
    assert expected == pytest.approx(3.875)


@pytest.mark.parametrize("name", ["mlp", "batch_norm", "transformer"])
def test_the_averaged_network_is_applied_for_a_block_and_leaves_no_trace(name: str) -> None:
    host = adam_host(name)
    for tensor in host.average.mean.values():
        tensor.add_(0.125)
    before = whole_state(host.model)
    with host.average.applied():
        now = whole_state(host.model)
        for key, mean in host.average.mean.items():
            assert torch.equal(now[key], mean), key
            assert not torch.equal(now[key], before[key]), key
    assert same(whole_state(host.model), before)

    with pytest.raises(RuntimeError, match="broken"), host.average.applied():
        raise RuntimeError("broken")
    assert same(whole_state(host.model), before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_averaged_in_float32(dtype: torch.dtype) -> None:
    model = scalar(1.0, dtype)
    average = WeightAverage(model, epochs=1.0)
    set_weight(model, 2.0)
    # A thousandth at a time would be lost in bfloat16, whose next number after 1 is 1.0078.
    for _ in range(3):
        average.update(steps_per_epoch=1000)
        average.catch_up()
    mean = average.mean["weight"]
    assert mean.dtype is torch.float32
    assert mean.item() == pytest.approx(2 - 0.999**3)
    with average.applied():
        assert model.weight.item() == mean.to(dtype).item()  # type: ignore[union-attr, operator]
        assert model.weight.dtype is dtype
    assert model.weight.item() == 2.0  # type: ignore[union-attr, operator]


def test_a_tied_weight_is_averaged_once() -> None:
    one = nn.Linear(1, 1, bias=False)
    model = nn.Sequential(one, nn.Identity(), one)
    average = WeightAverage(model, epochs=1.0)
    assert list(average.mean) == ["0.weight"]
    set_weight(one, 0.0)
    average.reset()
    set_weight(one, 8.0)
    average.update(steps_per_epoch=2)
    assert average.mean["0.weight"].item() == 4.0
    with average.applied():
        assert one.weight.item() == 4.0
    assert one.weight.item() == 8.0


def test_a_kernel_is_averaged_from_its_germination_to_its_end() -> None:
    host = make_host("mlp")
    train(host.model, host.optimizer)
    host.end_epoch()
    bare = set(host.average.mean)
    own = {name: tensor.clone() for name, tensor in host.average.mean.items()}
    grow(host, "block1", 1)
    kernel = {n for n in host.average.mean if "esper_kernels.kernels.1" in n}
    assert kernel
    assert set(host.average.mean) == bare | kernel, "alpha is no weight"
    assert all(torch.equal(host.average.mean[name], own[name]) for name in bare)

    start = {name: host.average.mean[name].clone() for name in kernel}
    state = host.model.state_dict()
    assert all(torch.equal(start[name], state[name]) for name in kernel)
    train(host.model, host.optimizer, 1)
    assert any(not torch.equal(host.average.mean[name], start[name]) for name in kernel)
    host.cull("block1", 1, 1, "")
    assert set(host.average.mean) == bare
    train(host.model, host.optimizer, 2)


def test_alpha_is_not_averaged() -> None:
    host = make_host("mlp")
    blended(host, "block1", alpha=0.5)
    host.steps.set_alpha(host.seed("block1", 0), 0.75)
    host.average.update(4)
    with host.average.applied():
        state = host.model.state_dict()
        assert [v.item() for k, v in state.items() if k.endswith("alpha_0")] == [0.75]


def test_a_saved_average_goes_on_as_if_it_had_not_been_saved() -> None:
    one, other = make_host("mlp", average_epochs=0.5), make_host("mlp", average_epochs=0.5)
    train(one.model, one.optimizer)
    other.model.load_state_dict(one.model.state_dict())
    one.average.update(64)
    saved, waiting = dict(one.average.mean), one.average.waiting
    assert waiting == 1 / 32
    assert not same(one.average.mean, other.average.mean)
    other.average.load(saved, waiting)
    assert same(one.average.mean, other.average.mean)
    for host in (one, other):
        train(host.model, SGD(host.model.parameters(), 0.1), 1)
        host.average.update(4)
    assert one.average.waiting == other.average.waiting == 0.0
    assert same(one.average.mean, other.average.mean)
    assert all(each is not saved[name] for name, each in other.average.mean.items())


def test_an_average_of_no_length_is_the_network_after_its_last_step() -> None:
    host = make_host("batch_norm", average_epochs=0.0)
    x = torch.randn(4, 1, 8, 8)
    for _ in range(3):
        host.optimizer.zero_grad()
        host.model(x).square().sum().backward()
        host.optimizer.step()
        state = host.model.state_dict()
        assert all(torch.equal(mean, state[name]) for name, mean in host.average.mean.items())


def test_a_reset_forgets_the_steps_before() -> None:
    model = scalar(8.0)
    average = WeightAverage(model, epochs=1.0)
    set_weight(model, INFINITE)
    average.update(4)
    assert not average.mean["weight"].isfinite()
    set_weight(model, 2.0)
    average.reset()
    average.update(4)
    assert average.mean["weight"].item() == 2.0
