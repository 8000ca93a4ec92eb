import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from esper.blueprint import catalogue
from esper.blueprint.base import Blueprint, sites
from esper.blueprint.cost import Cost
from esper.contracts.slot import Placement, SlotKind, SlotSpec
from esper.growth.kernel import build, weight_seed

SPEC = SlotSpec(
    name="block",
    kind=SlotKind.DENSE,
    placement=Placement.SERIES,
    in_shape=(4,),
    out_shape=(4,),
    catalogue=("mlp",),
)


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x, self.weight)


@pytest.fixture
def offer() -> Iterator[Callable[[Callable[[Tensor, Tensor], Any]], None]]:
    """Return what adds a blueprint 'odd' whose kernel is a function of input and weight."""

    def register(function: Callable[[Tensor, Tensor], Any]) -> None:
        catalogue.register(
            Blueprint(
                name="odd",
                fits_in=sites([SlotKind.DENSE], Placement),
                risk=0.5,
                build=lambda *_: Function(function),
                cost=lambda *_: Cost(parameters=1, flops=0),
            )
        )

    yield register
    catalogue._added.pop("odd", None)


def test_weights_depend_on_nothing_but_their_seed() -> None:
    torch.manual_seed(1)
    one = build("mlp", SPEC, 5)
    torch.manual_seed(2)
    torch.rand(7)
    same, other = build("mlp", SPEC, 5), build("mlp", SPEC, 6)
    weights = [next(kernel.module.parameters()) for kernel in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_building_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    build("mlp", SPEC, 5)
    assert torch.equal(torch.get_rng_state(), state)


def test_every_place_and_time_has_weights_of_its_own_and_the_same_in_every_process() -> None:
    keys = [(0, "a", 0, 1), (1, "a", 0, 1), (0, "b", 0, 1), (0, "a", 1, 1), (0, "a", 0, 2)]
    seeds = [weight_seed(*key) for key in keys]
    assert len(set(seeds)) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
    # blake2b of "0/block1/0/1", 8 bytes, halved: the same in every process and release.
    assert weight_seed(0, "block1", 0, 1) == 5448720686041238464


def test_a_sane_kernel_passes_with_its_numbers_and_counts() -> None:
    kernel = build("mlp", SPEC, 0)
    assert kernel.gate.passed
    checks = {check.name: check for check in kernel.gate.checks}
    assert set(checks) == {"shape", "input", "output", "gradient"}
    assert checks["output"].value == 0.0
    assert checks["gradient"].value is not None
    assert checks["gradient"].value > 0
    # 4 -> 8 -> 4 with biases; 2 FLOPs a weight.
    assert kernel.parameters == kernel.trainable == 4 * 8 + 8 + 8 * 4 + 4
    assert kernel.flops == 2 * (4 * 8 + 8 * 4)
    assert all(parameter.grad is None for parameter in kernel.module.parameters())


def test_a_kernel_that_does_not_learn_passes_without_a_gradient() -> None:
    kernel = build("frozen_random", SPEC, 0)
    assert kernel.gate.passed
    assert (kernel.trainable, kernel.parameters) == (0, 76)


def test_a_kernel_can_be_built_where_no_graph_is_recorded() -> None:
    with torch.no_grad():
        assert build("mlp", SPEC, 0).gate.passed


@pytest.mark.parametrize(
    ("function", "failed", "limit"),
    [
        (lambda x, w: (x * w)[:, :2], "shape", "(4, 4), got (4, 2)"),
        (lambda x, w: (x, w), "shape", "(4, 4), got tuple"),
        (lambda x, w: (x * w).sum(0, keepdim=True).expand(4, -1), "shape", "(3, 4), got (4, 4)"),
        (lambda x, w: x.mul_(2) * w, "input", "left as it was"),
        (lambda x, w: x * w + math.nan, "output", "finite"),
        (lambda x, w: x * w + math.inf, "output", "finite"),
        (lambda x, w: x * w.sqrt(), "gradient", "finite and > 0"),
        (lambda x, w: x * 0 * w, "gradient", "finite and > 0"),
    ],
)
def test_a_kernel_that_is_not_sane_says_what_is_wrong(
    offer: Callable[..., None], function: Callable[..., Any], failed: str, limit: str
) -> None:
    offer(function)
    gate = build("odd", SPEC, 0).gate
    assert not gate.passed
    assert [(check.name, check.limit) for check in gate.checks if not check.passed] == [
        (failed, limit)
    ]
    assert all(check.value is None or math.isfinite(check.value) for check in gate.checks)
