from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from esper.blueprint.cost import Cost
from esper.contracts.slot import SlotKind
from esper.kernels.build import BuildMode
from esper.kernels.cache import VerdictCache
from esper.kernels.key import key_of
from esper.kernels.make import Maker, RefusedError
from esper.kernels.options import Kernels
from tests.unit.kernels.builders import function, make_request, make_spec, recipe_of

HERE = BuildMode(privately=True)


def make_maker(**options: Any) -> Maker:
    kernels = Kernels(**({"disk_mb": 0} | options))
    return Maker(kernels, VerdictCache(kernels))


def weights(module: nn.Module) -> list[Tensor]:
    return [parameter.detach() for parameter in module.parameters()]


def test_a_kernel_has_its_own_weights_and_the_verdict_of_its_kind() -> None:
    maker = make_maker()
    first, second = (maker.make(make_request("mlp", weights=w), HERE) for w in (1, 2))
    assert first.gate == second.gate
    assert not torch.equal(weights(first.module)[0], weights(second.module)[0])
    # 4 -> 8 -> 4 with biases; 2 FLOPs a weight.
    assert first.parameters == first.trainable == 4 * 8 + 8 + 8 * 4 + 4
    assert first.flops == 2 * (4 * 8 + 8 * 4)


def test_only_the_first_of_a_kind_is_validated(tmp_path: Path) -> None:
    maker = make_maker(disk_mb=1, cache_dir=str(tmp_path))
    first, second = (maker.make(make_request("mlp", weights=w), HERE).work for w in (1, 2))
    later = make_maker(disk_mb=1, cache_dir=str(tmp_path))
    third = later.make(make_request("mlp", weights=3), HERE).work
    assert (first.validate_ms is None, first.load_ms is None) == (False, True)
    assert (second.validate_ms, second.load_ms) == (None, None)
    assert (third.validate_ms is None, third.load_ms is None) == (True, False)


@pytest.mark.parametrize("remembered", [True, False])
def test_whatever_is_remembered_the_kernel_is_the_same(remembered: bool) -> None:
    maker = make_maker()
    if remembered:
        maker.make(make_request("conv", make_spec(SlotKind.FEATURE_MAP), weights=1), HERE)
    request = make_request("conv", make_spec(SlotKind.FEATURE_MAP), weights=9)
    kernel = maker.make(request, HERE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(9)
        expected = request.recipe.build(SlotKind.FEATURE_MAP, (3, 6, 6), (3, 6, 6))
    assert all(map(torch.equal, weights(kernel.module), weights(expected)))


def test_a_kernel_that_is_handed_over_has_never_been_run() -> None:
    class Counting(nn.Linear):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return super().forward(x)

    kernel = make_maker().make(make_request(recipe_of(lambda *_: Counting(4, 4))), HERE)
    assert isinstance(kernel.module, Counting)
    assert kernel.module.calls == 0
    assert all(parameter.grad is None for parameter in kernel.module.parameters())


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_parameters": 75}, r"^costs too much: parameters 76 \(<= 75\)$"),
        ({"max_flops": 127}, r"^costs too much: flops 128 \(<= 127\)$"),
        # 76 weights, each with a gradient and two moments, of 4 bytes.
        ({"max_memory_mb": 0.001}, r"^costs too much: memory_mb 0.00116 \(<= 0.001\)$"),
    ],
)
def test_a_kernel_over_a_limit_is_refused_and_one_at_it_is_not(
    limits: dict[str, float], message: str
) -> None:
    with pytest.raises(RefusedError, match=message):
        make_maker(**limits).make(make_request("mlp"), HERE)
    at_limit = make_maker(max_parameters=76, max_flops=128, max_memory_mb=76 * 16 / 2**20)
    gate = at_limit.make(make_request("mlp"), HERE).gate
    assert [check.name for check in gate.checks][-3:] == ["parameters", "memory_mb", "flops"]
    assert gate.passed


def test_one_that_is_far_too_large_is_never_built() -> None:
    def build(*_: Any) -> nn.Module:
        raise AssertionError("it was built")

    huge = recipe_of(build, cost=lambda *_: Cost(parameters=10**12, flops=0))
    with pytest.raises(RefusedError, match=r"memory_mb 1.526e\+07 \(<= 4096\)"):
        make_maker().make(make_request(huge), HERE)


def test_one_that_has_more_parameters_than_it_declares_is_found_out() -> None:
    shy = recipe_of(lambda *_: nn.Linear(4, 4), cost=lambda *_: Cost(parameters=1, flops=0))
    with pytest.raises(RefusedError, match="parameters 20"):
        make_maker(max_parameters=19).make(make_request(shy), HERE)


def test_a_refusal_is_remembered_and_says_the_same_again() -> None:
    maker = make_maker()
    request = make_request(recipe_of(misshapen, cost=lambda *_: Cost(parameters=45, flops=0)))
    texts = []
    for _ in range(2):
        with pytest.raises(RefusedError) as caught:
            maker.make(request, HERE)
        texts.append(str(caught.value))
    assert texts == ["is not sane: shape not measured ((4, 4), got (4, 9))"] * 2
    key = key_of(request)
    assert key is not None
    assert maker.cache.get(key) is not None


def misshapen(*_: Any) -> nn.Module:
    return nn.Linear(4, 9)


def test_a_cached_verdict_that_is_wrong_is_told_and_found_out_anew() -> None:
    maker = make_maker()
    request = make_request("mlp")
    maker.make(request, HERE)
    key = key_of(request)
    assert key is not None
    known = maker.cache.get(key)
    assert known is not None
    maker.cache.put(key, replace(known.verdict, parameters=75))
    kernel = maker.make(request, HERE)
    assert kernel.parameters == 76
    assert kernel.work.validate_ms is not None
    (told,) = maker.cache.incidents
    assert "it counts 75 parameters, a kernel has 76" in told.message
    assert maker.make(request, HERE).work.validate_ms is None


def test_a_blueprint_that_gives_another_size_each_time_is_refused() -> None:
    sizes = iter(range(1, 100))

    class Growing(nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.weights = nn.Parameter(torch.zeros(size))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.weights.sum()

    maker = make_maker()
    with pytest.raises(RefusedError, match="is not the same twice: 1 parameters, 1 of them"):
        maker.make(make_request(recipe_of(lambda *_: Growing(next(sizes)))), HERE)
    assert not maker.cache.incidents


def test_what_raises_is_not_remembered() -> None:
    states = iter(["broken", "broken", "mended", "mended"])

    def build(*_: Any) -> nn.Module:
        if next(states) == "broken":
            raise OSError("not now")
        return nn.Linear(4, 4)

    request = make_request(recipe_of(build))
    maker = make_maker()
    for _ in range(2):
        with pytest.raises(OSError, match="not now"):
            maker.make(request, HERE)
    assert maker.make(request, HERE).parameters == 20


def test_a_function_of_a_closure_is_validated_each_time() -> None:
    maker = make_maker()
    request = make_request(function(lambda x, w, _: x * w))
    works = [maker.make(request, HERE).work for _ in range(2)]
    assert all(work.validate_ms is not None for work in works)
