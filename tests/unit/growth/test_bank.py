import math
from itertools import permutations

import pytest
import torch
from torch import Tensor, nn

from esper.contracts.slot import Placement
from esper.growth.bank import KernelBank
from tests.unit.growth.builders import (
    HOSTS,
    awaken,
    blended,
    grow,
    kernel_of,
    make_host,
    make_input,
    make_model,
)


class Broken(nn.Module):
    """Returns a value that is not finite, with a finite gradient."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + self.value


def gradients(model: nn.Module) -> dict[str, Tensor]:
    found = {n: p.grad for n, p in model.named_parameters() if "esper_kernels" not in n}
    assert all(grad is not None for grad in found.values())
    return {name: grad.clone() for name, grad in found.items() if grad is not None}


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("placement", ["series", "parallel"])
def test_an_isolated_kernel_leaves_outputs_and_gradients_of_the_host_as_they_are(
    name: str, placement: str
) -> None:
    bare, x = make_model(name), make_input(name)
    host = make_host(name, placement=placement)
    slots = list(host.slots)
    for slot in slots:
        grow(host, slot, 0)
        awaken(kernel_of(host, slot))

    for model in (bare, host.model):
        model(x).square().sum().backward()

    assert torch.equal(host.model(x), bare(x))
    expected, found = gradients(bare), gradients(host.model)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    for slot in slots:
        norms = [
            float(w.grad.norm()) for w in kernel_of(host, slot).parameters() if w.grad is not None
        ]
        assert max(norms) > 0


def test_the_kernel_gets_the_gradient_that_it_would_have_at_alpha_one() -> None:
    bank = KernelBank(Placement.SERIES)
    kernel = nn.Linear(1, 1)
    with torch.no_grad():
        kernel.weight.fill_(2.0)
        kernel.bias.fill_(0.5)
    bank.add(0, kernel, None)
    host = torch.tensor([[3.0], [-1.0]], requires_grad=True)

    output = bank.mix(host, None)
    (output**2).sum().backward()

    # d(y^2)/dy = 2 h at the host's own output, 6 and -2; dk/dw = h, dk/db = 1.
    assert torch.equal(output, host)
    assert kernel.weight.grad is not None
    assert kernel.bias.grad is not None
    assert kernel.weight.grad.item() == 6 * 3 + -2 * -1
    assert kernel.bias.grad.item() == 6 - 2
    assert host.grad is not None
    assert host.grad.tolist() == [[6.0], [-2.0]]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_broken_kernel_cannot_be_felt_while_it_is_isolated(value: float) -> None:
    torch.manual_seed(0)
    block, x = nn.Linear(3, 3), torch.randn(4, 3)
    bank = KernelBank(Placement.PARALLEL)
    bank.add(0, Broken(value), None)

    block(x).square().sum().backward()
    expected, block.weight.grad = block.weight.grad, None
    output = bank.mix(block(x), x)
    output.square().sum().backward()

    assert torch.equal(output, block(x))
    assert block.weight.grad is not None
    assert torch.equal(block.weight.grad, expected)
    assert not bank.is_finite(0)


def test_a_kernel_is_known_to_be_finite_by_its_weights_and_by_what_it_gave() -> None:
    bank = KernelBank(Placement.SERIES)
    broken = Broken(0.0)
    bank.add(0, nn.Linear(2, 2), None)
    bank.add(1, broken, None)
    x = torch.ones(3, 2)
    bank.mix(x, None)
    assert bank.is_finite(0)
    assert bank.is_finite(1)

    broken.value = math.inf
    bank.mix(x, None)
    broken.value = 0.0
    bank.mix(x, None)
    with torch.no_grad():
        bank.kernels["0"].weight[0, 1] = math.nan  # type: ignore[index, operator]

    assert not bank.is_finite(0)
    assert not bank.is_finite(1)


def test_an_isolated_kernel_is_not_run_where_nothing_is_learned() -> None:
    class Counting(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return torch.zeros_like(x)

    bank, kernel, x = KernelBank(Placement.SERIES), Counting(), torch.ones(2, 2)
    bank.add(0, kernel, None)
    with torch.no_grad():
        bank.train().mix(x, None)
    bank.eval().mix(x, None)
    assert kernel.calls == 0
    bank.train().mix(x, None)
    assert kernel.calls == 1


@pytest.mark.parametrize("placement", list(Placement))
def test_blended_kernels_are_added_with_their_alphas(placement: Placement) -> None:
    bank = KernelBank(placement)
    for seed, alpha in ((0, 0.5), (2, 0.25)):
        bank.add(seed, nn.Linear(1, 1), None)
        bank.set_alpha(seed, alpha)
        bank.isolated.discard(str(seed))
    with torch.no_grad():
        for kernel, weight in zip(bank.kernels.values(), (2.0, 4.0), strict=True):
            kernel.weight.fill_(weight)
            kernel.bias.fill_(0.0)
    host, block_input = torch.tensor([[3.0]]), torch.tensor([[10.0]])

    output = bank.mix(host, block_input)

    source = 3.0 if placement is Placement.SERIES else 10.0
    assert output.item() == 3.0 + 0.5 * 2 * source + 0.25 * 4 * source
    bank.muted.add("0")
    assert bank.mix(host, block_input).item() == 3.0 + 0.25 * 4 * source


@pytest.mark.parametrize("placement", ["series", "parallel"])
@pytest.mark.parametrize("name", HOSTS)
def test_gradients_reach_everything_upstream_of_a_blended_kernel(name: str, placement: str) -> None:
    host, x = make_host(name, placement=placement), make_input(name)
    slot = list(host.slots)[-1]
    host.model(x).square().sum().backward()
    bare = gradients(host.model)
    host.model.zero_grad()

    blended(host, slot, alpha=0.5)
    host.model(x).square().sum().backward()

    found = gradients(host.model)
    first = next(iter(found))
    assert all(bool(grad.isfinite().all()) for grad in found.values())
    assert float(found[first].abs().sum()) > 0
    assert not torch.equal(found[first], bare[first])


def test_the_sum_does_not_depend_on_the_order_in_which_kernels_came() -> None:
    torch.manual_seed(0)
    kernels = {seed: nn.Linear(8, 8) for seed in (0, 1, 2, 11)}
    x, outputs = torch.randn(50, 8), []
    for order in permutations(kernels):
        bank = KernelBank(Placement.SERIES)
        for seed in order:
            bank.add(seed, kernels[seed], None)
            bank.set_alpha(seed, 0.3)
        bank.isolated.clear()
        assert list(bank.kernels) == ["0", "1", "2", "11"]
        outputs.append(bank.mix(x, None))
    assert all(torch.equal(output, outputs[0]) for output in outputs)


@pytest.mark.parametrize("placement", ["series", "parallel"])
def test_a_host_may_change_the_output_of_a_slot_in_place(placement: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 4)
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 3))
    model(x).square().sum().backward()
    bare, output = gradients(model), model(x)
    model.zero_grad()
    host = make_host(model, ["0"], example=x, placement=placement)

    grow(host, "0", 0, "affine")
    awaken(kernel_of(host, "0"))
    model(x).square().sum().backward()
    found = gradients(model)
    assert torch.equal(model(x), output)
    assert all(torch.equal(found[key], bare[key]) for key in bare)

    host.blend("0", 0, 1.0, None, "")
    host.steps.set_alpha(host.seed("0", 0), 0.5)
    model(x).square().sum().backward()
    assert not torch.equal(model(x), output)


def test_alpha_is_a_buffer_that_keeps_its_place() -> None:
    bank = KernelBank(Placement.SERIES)
    bank.add(3, nn.Linear(2, 2), None)
    buffer = bank.get_buffer("alpha_3")
    bank.set_alpha(3, 0.75)
    assert bank.get_buffer("alpha_3") is buffer
    assert (buffer.shape, buffer.item()) == ((), 0.75)


def test_a_bank_refuses_to_be_a_layer() -> None:
    bank = KernelBank(Placement.SERIES)
    with pytest.raises(RuntimeError, match="called as a layer"):
        bank(torch.ones(1))
