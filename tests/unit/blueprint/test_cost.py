"""Measured costs equal numbers computed by hand; random generators and memory are unchanged."""

import random
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

from esper.blueprint import catalogue
from esper.blueprint.base import Blueprint, sites
from esper.blueprint.cost import Cost, machine_memory_mb
from esper.blueprint.shapes import Shape
from esper.contracts.slot import Placement, SlotKind

DENSE, MAP, SEQUENCE = SlotKind.DENSE, SlotKind.FEATURE_MAP, SlotKind.SEQUENCE


@pytest.mark.parametrize(
    ("name", "kind", "in_shape", "out_shape", "parameters", "flops"),
    [
        ("affine", DENSE, (64,), (12,), 64 * 12 + 12, 2 * 64 * 12),
        ("mlp", DENSE, (64,), (12,), 64 * 12 + 12 + 12 * 12 + 12, 2 * (64 * 12 + 12 * 12)),
        # Pooled to 16 places, 4 -> 8 -> 8.
        ("mlp", MAP, (4, 8, 8), (8, 4, 4), 4 * 8 + 8 + 8 * 8 + 8, 2 * 16 * (4 * 8 + 8 * 8)),
        # Rank 8, no biases, 6 positions.
        ("lora", SEQUENCE, (6, 16), (6, 10), 16 * 8 + 8 * 10, 2 * 6 * (16 * 8 + 8 * 10)),
        # 2/3 of 16 hidden units, twice.
        ("gated_mlp", DENSE, (16,), (16,), 16 * 20 + 20 + 10 * 16 + 16, 2 * (16 * 20 + 10 * 16)),
        ("norm", MAP, (4, 8, 8), (4, 8, 8), 2 * 4, 0),
        ("squeeze_excite", MAP, (4, 8, 8), (4, 8, 8), 4 * 8 + 8 + 8 * 4 + 4, 2 * 2 * 4 * 8),
        # Two filters for each of 4 channels, then 8 -> 4 at 64 places.
        ("depthwise", MAP, (4, 8, 8), (4, 8, 8), 8 * 9 + 8 + 8 * 4 + 4, 2 * 64 * (8 * 9 + 8 * 4)),
        ("conv", MAP, (1, 8, 8), (4, 4, 4), 8 * 9 + 8 + 8 * 4 * 9 + 4, 2 * 16 * (72 + 288)),
        # 4 -> 8 at 64 places, 8 -> 8 by 3x3 and 8 -> 8 at 16.
        (
            "bottleneck", MAP, (4, 8, 8), (8, 4, 4), 32 + 8 + 576 + 8 + 64 + 8,
            2 * (64 * 32 + 16 * (576 + 64)),
        ),
        (
            "convnext", MAP, (4, 8, 8), (4, 8, 8), 36 + 8 + 64 + 16 + 64 + 4,
            2 * 64 * (36 + 64 + 64),
        ),
        # 6 positions of 16 features: queries, keys, values; scores and sums; the last layer.
        (
            "attention", SEQUENCE, (6, 16), (6, 10), 32 + 16 * 48 + 16 * 10 + 10,
            2 * (6 * 16 * 48 + 2 * 36 * 16 + 6 * 16 * 10),
        ),
        ("noop", DENSE, (4,), (4,), 0, 0),
    ],
)  # fmt: skip
def test_a_cost_can_be_checked_by_hand(
    name: str, kind: SlotKind, in_shape: Shape, out_shape: Shape, parameters: int, flops: int
) -> None:
    cost = catalogue.get(name).cost(kind, in_shape, out_shape)
    assert cost == Cost(parameters=parameters, trainable=parameters, flops=flops)


def recipe_of(build: Any) -> Blueprint:
    return Blueprint(name="odd", fits_in=sites(SlotKind, Placement), risk=0.5, build=build)


def cost_of(build: Any) -> Cost:
    return recipe_of(build).cost(DENSE, (4,), (4,))


def test_frozen_weights_are_counted_apart() -> None:
    cost = catalogue.get("frozen_random").cost(DENSE, (4,), (4,))
    assert (cost.parameters, cost.trainable) == (76, 0)
    assert cost.memory_mb == 76 * 4 / 2**20
    assert Cost(parameters=76, trainable=76, flops=0).memory_mb == 76 * 16 / 2**20


def test_each_shape_is_measured_once_and_without_weights() -> None:
    devices = []

    def build(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> nn.Module:
        layer = nn.Linear(in_shape[0], out_shape[0])
        devices.append(layer.weight.device.type)
        return layer

    recipe = recipe_of(build)
    for shape in ((4,), (4,), (5,)):
        assert recipe.cost(DENSE, shape, shape).parameters == shape[0] * (shape[0] + 1)
    assert devices == ["meta", "meta"]


def test_a_kernel_larger_than_the_machine_is_counted_and_not_run() -> None:
    def build(*_: Any) -> nn.Module:
        return nn.Linear(10**7, 10**7)  # of another shape: running it would raise

    cost = cost_of(build)
    assert cost.memory_mb > machine_memory_mb()
    assert (cost.parameters, cost.flops) == (10**14 + 10**7, 0)


class LooksAtValues(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (1.0 if float(x.sum()) == 0.0 else 2.0)


class FromNumpy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(numpy.random.rand(4, 4)).float())

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


@pytest.mark.parametrize("build", [lambda *_: LooksAtValues(4, 4), lambda *_: FromNumpy()])
def test_a_kernel_that_the_meta_device_cannot_run_is_measured_on_the_cpu(build: Any) -> None:
    def draws() -> list[float]:
        return [random.random(), float(numpy.random.rand()), float(torch.rand(()))]

    random.seed(1), numpy.random.seed(1), torch.manual_seed(1)
    expected = draws()
    random.seed(1), numpy.random.seed(1), torch.manual_seed(1)
    cost = cost_of(build)
    assert draws() == expected
    assert (cost.parameters, cost.flops) in ((20, 32), (16, 32))


def test_measuring_draws_nothing() -> None:
    state = torch.get_rng_state()
    cost_of(lambda *_: nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)))
    assert torch.equal(torch.get_rng_state(), state)


def test_an_error_of_the_blueprint_comes_through() -> None:
    def build(*_: Any) -> nn.Module:
        raise ZeroDivisionError("a user's mistake")

    with pytest.raises(ZeroDivisionError, match="a user's mistake"):
        cost_of(build)
    with pytest.raises(TypeError, match=r"build must give a torch.nn.Module, got int"):
        cost_of(lambda *_: 3)
