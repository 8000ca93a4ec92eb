"""The average of modules with unusual tensors: assigned anew, infinite, expanded, or not set."""

import torch
from torch import Tensor, nn

from esper.growth.average import WeightAverage

INFINITE = float("inf")


class Masked(nn.Module):
    """Has a mask with infinite elements, and a buffer that is an expanded view."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.register_buffer("mask", torch.tensor([0.0, -INFINITE]), persistent=False)
        self.register_buffer("wide", torch.ones(1).expand(3))
        self.register_buffer("unset", None)
        self.register_buffer("phase", torch.tensor([1 + 1j]))


def test_a_mask_with_infinite_elements_stays_as_it_is() -> None:
    model = Masked()
    average = WeightAverage(model, epochs=1.0)
    assert list(average.mean) == ["weight", "phase"]
    with torch.no_grad():
        model.phase.mul_(3)  # type: ignore[operator]
    for _ in range(3):
        average.update(steps_per_epoch=2)
    with average.applied():
        assert model.mask.tolist() == [0.0, -INFINITE]  # type: ignore[operator, union-attr]
        # 1 -> 2 -> 2.5 -> 2.75 of both parts.
        assert model.phase.item() == 2.75 + 2.75j  # type: ignore[operator, union-attr]


class Assigning(nn.Module):
    """Keeps the sum of its inputs in a buffer that each training call assigns anew."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.register_buffer("total", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.total = self.total + x.detach().sum()
        return self.weight * x - self.total


def test_a_buffer_that_is_assigned_anew_is_averaged_like_one_that_is_written() -> None:
    model = Assigning()
    average = WeightAverage(model, epochs=1.0)
    means = []
    for _ in range(3):
        model(torch.ones(4))
        average.update(steps_per_epoch=2)
        means.append(average.mean["total"].item())
    # Half of the way to 4, 8 and 12 each: 0 -> 2 -> 5 -> 8.5.
    assert means == [2.0, 5.0, 8.5]

    model(torch.ones(4))
    with average.applied():
        assert model.total.item() == 8.5
    assert (model.total.item(), average.mean["total"].item()) == (16.0, 8.5)
    model(torch.ones(4))
    average.adopt()
    assert model.total.item() == 8.5


def test_a_parameter_or_an_unset_buffer_that_is_assigned_is_taken_up() -> None:
    model = Masked()
    average = WeightAverage(model, epochs=1.0)
    model.weight = nn.Parameter(torch.tensor(8.0))
    model.unset = torch.tensor(2.0)
    average.update(steps_per_epoch=2)
    assert (average.mean["weight"].item(), average.mean["unset"].item()) == (4.0, 2.0)
    with average.applied():
        assert model.weight.item() == 4.0
