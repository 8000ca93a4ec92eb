from typing import Any

import pytest
import torch
from torch import Tensor, nn

from esper.blueprint.cost import machine_memory_mb
from esper.contracts.slot import SlotKind
from esper.kernels import make
from esper.kernels.kernel import RefusedError
from esper.kernels.make import Limits, Maker
from tests.unit.kernels.builders import make_request, make_spec, recipe_of


def weights(module: nn.Module) -> list[Tensor]:
    return [parameter.detach() for parameter in module.parameters()]


def validations(maker: Maker, *requests: Any) -> list[bool]:
    """Make each request in order; return whether a probe was validated for it."""
    return [maker.make(request).work.validate_ms is not None for request in requests]


def test_a_kernel_has_its_own_weights_and_the_result_of_its_kind() -> None:
    maker = Maker(Limits())
    first, second = (maker.make(make_request("mlp", weights=w)) for w in (1, 2))
    assert first.gate == second.gate
    assert not torch.equal(weights(first.module)[0], weights(second.module)[0])
    # 4 -> 8 -> 4 with biases; 2 FLOPs a weight.
    assert first.parameters == first.trainable == 4 * 8 + 8 + 8 * 4 + 4
    assert first.flops == 2 * (4 * 8 + 8 * 4)


def test_only_the_first_of_a_kind_is_validated() -> None:
    maker, wide = Maker(Limits()), make_spec(SlotKind.SEQUENCE)
    one, other = (make_request("mlp", weights=w) for w in (1, 2))
    assert validations(maker, one, other, make_request("mlp", seed=3)) == [True, False, False]
    others = [make_request("affine"), make_request("mlp", wide), make_request(dtype=torch.float64)]
    assert validations(maker, *others, *others) == [True] * 3 + [False] * 3


def test_the_result_used_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "MAX_RESULTS", 2)
    first, second, third = (make_request(name) for name in ("mlp", "affine", "lora"))
    maker = Maker(Limits())
    assert validations(maker, first, second, first, third) == [True, True, False, True]
    assert validations(maker, first, second) == [False, True]


def test_a_blueprint_defined_anew_gets_no_result_of_the_former() -> None:
    def recipe(width: int) -> Any:
        return recipe_of(lambda *_: nn.Linear(4, width))

    maker = Maker(Limits())
    assert maker.make(make_request(recipe(4))).parameters == 20
    with pytest.raises(RefusedError, match="is not sane: shape"):
        maker.make(make_request(recipe(5)))


@pytest.mark.parametrize("is_cached", [True, False])
def test_the_kernel_is_the_same_with_and_without_a_cached_result(is_cached: bool) -> None:
    maker, spec = Maker(Limits()), make_spec(SlotKind.FEATURE_MAP)
    if is_cached:
        maker.make(make_request("conv", spec, weights=1))
    request = make_request("conv", spec, weights=9)
    kernel = maker.make(request)
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

    kernel = Maker(Limits()).make(make_request(recipe_of(lambda *_: Counting(4, 4))))
    assert isinstance(kernel.module, Counting)
    assert kernel.module.calls == 0
    assert all(parameter.grad is None for parameter in kernel.module.parameters())


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(parameters=75), r"^costs too much: parameters 76 \(<= 75\)$"),
        (Limits(flops=127), r"^costs too much: flops 128 \(<= 127\)$"),
        # 76 weights, each with a gradient and two moments, of 4 bytes.
        (Limits(memory_mb=0.001), r"^costs too much: memory_mb 0.00116 \(<= 0.001\)$"),
    ],
)
def test_a_kernel_over_a_limit_is_refused_and_one_at_it_is_not(
    limits: Limits, message: str
) -> None:
    with pytest.raises(RefusedError, match=message):
        Maker(limits).make(make_request("mlp"))
    at_limit = Maker(Limits(parameters=76, flops=128, memory_mb=76 * 16 / 2**20))
    gate = at_limit.make(make_request("mlp")).gate
    assert [check.name for check in gate.checks][-3:] == ["parameters", "memory_mb", "flops"]
    assert gate.passed


def test_without_limits_a_gate_names_none() -> None:
    checks = Maker(Limits()).make(make_request("mlp")).gate.checks
    assert {check.name for check in checks} == {"shape", "input", "output", "gradient", "upstream"}


def test_a_kernel_that_does_not_learn_takes_a_quarter_of_the_memory() -> None:
    limits = Limits(memory_mb=76 * 4 / 2**20)
    assert Maker(limits).make(make_request("frozen_random")).trainable == 0
    with pytest.raises(RefusedError, match=r"memory_mb 0\.00116"):
        Maker(limits).make(make_request("mlp"))


def test_a_kernel_larger_than_the_machine_is_refused_and_no_memory_is_taken() -> None:
    # A terabyte of weights, and as much for gradients and each of two moments.
    huge = recipe_of(lambda *_: nn.Linear(4, 2**38 // 5))
    request = make_request(huge)
    assert request.cost.memory_mb == pytest.approx(4 * 2**20, rel=1e-6)
    assert request.cost.memory_mb > machine_memory_mb()
    with pytest.raises(RefusedError, match=r"memory_mb 4.194e\+06 \(this machine has"):
        Maker(Limits()).make(request)


def test_a_refusal_is_cached_and_says_the_same_again() -> None:
    num_built = 0

    def build(*_: Any) -> nn.Module:
        nonlocal num_built
        num_built += 1
        return nn.Linear(4, 9)

    maker, request = Maker(Limits()), make_request(recipe_of(build))
    texts, built = [], []
    for _ in range(2):
        with pytest.raises(RefusedError) as caught:
            maker.make(request)
        texts.append(str(caught.value))
        built.append(num_built)
    assert texts == ["is not sane: shape not measured ((4, 4), got (4, 9))"] * 2
    assert built[0] == built[1]


def test_a_blueprint_that_gives_another_size_each_time_is_refused() -> None:
    sizes = iter(range(1, 100))

    class Growing(nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.weights = nn.Parameter(torch.zeros(size))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.weights.sum()

    request = make_request(recipe_of(lambda *_: Growing(next(sizes))))
    with pytest.raises(RefusedError, match=r"is not the same twice: 1 parameters, 1 of them .* 2"):
        Maker(Limits()).make(request)


def test_an_error_is_not_cached() -> None:
    states = iter(["measured", "broken", "broken", "mended", "mended"])

    def build(*_: Any) -> nn.Module:
        if next(states) == "broken":
            raise OSError("not now")
        return nn.Linear(4, 4)

    request = make_request(recipe_of(build))
    maker = Maker(Limits())
    for _ in range(2):
        with pytest.raises(OSError, match="not now"):
            maker.make(request)
    assert maker.make(request).parameters == 20
