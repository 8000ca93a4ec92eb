import copy
import io

import pytest
import torch
from torch import Tensor, nn

from esper.contracts.slot import Placement
from esper.growth.attach import (
    BANK,
    Slotted,
    attach,
    bank_of,
    detach,
    kernels_of,
    put_bank,
    put_kernel,
    take_kernel,
)
from esper.growth.bank import KernelBank
from tests.unit.growth.builders import HOSTS, awaken, blended, make_host, make_input, make_model


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("training", [True, False])
def test_a_dormant_slot_changes_nothing(name: str, training: bool) -> None:
    bare, x = make_model(name).train(training), make_input(name)
    model = copy.deepcopy(bare)
    for module in model.modules():
        attach(module)

    expected, found = bare(x), model(x)
    expected.sum().backward()
    found.sum().backward()

    assert torch.equal(found, expected)
    assert type(found.grad_fn) is type(expected.grad_fn)
    assert list(model.state_dict()) == list(bare.state_dict())
    assert all(torch.equal(model.state_dict()[k], v) for k, v in bare.state_dict().items())
    assert [n for n, _ in model.named_modules()] == [n for n, _ in bare.named_modules()]
    for mine, theirs in zip(model.parameters(), bare.parameters(), strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        assert torch.equal(mine.grad, theirs.grad)


@pytest.mark.parametrize("cls", [nn.Linear, nn.Sequential])
def test_the_class_keeps_its_name_and_comes_back(cls: type[nn.Module]) -> None:
    module: nn.Module = nn.Linear(2, 2) if cls is nn.Linear else nn.Sequential(nn.Linear(2, 2))
    shown = repr(module)

    attach(module)
    attach(module)

    assert isinstance(module, cls)
    assert isinstance(module, Slotted)
    assert (type(module).__name__, type(module).__module__) == (cls.__name__, cls.__module__)
    assert repr(module) == shown
    detach(module)
    assert type(module) is cls
    detach(module)
    assert type(module) is cls


def test_two_modules_of_a_class_share_the_slotted_class() -> None:
    one, other = nn.Linear(2, 2), nn.Linear(3, 3)
    attach(one)
    attach(other)
    assert type(one) is type(other)


def test_a_slot_with_kernels_cannot_be_detached() -> None:
    module = nn.Linear(2, 2)
    attach(module)
    put_kernel(module, Placement.SERIES, 0, nn.Linear(2, 2), None)
    with pytest.raises(AssertionError, match="cannot be detached"):
        detach(module)


def test_the_kernels_of_a_slot_can_be_replaced_and_removed() -> None:
    module = nn.Linear(2, 2)
    first, second = KernelBank(Placement.SERIES), KernelBank(Placement.SERIES)
    for bank in (first, second):
        put_bank(module, bank)
        assert bank_of(module) is bank
        assert isinstance(module, Slotted)
    put_bank(module, None)
    assert bank_of(module) is None
    assert type(module) is nn.Linear
    with pytest.raises(AssertionError, match="holds no kernels"):
        kernels_of(module)


def test_a_sequential_does_not_run_its_kernels_as_layers() -> None:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 3))
    layers, x = list(body), torch.randn(5, 3)
    bare = body(x)
    attach(body)
    kernel = nn.Linear(3, 3)
    put_kernel(body, Placement.SERIES, 0, kernel, None)
    bank = bank_of(body)
    assert bank is not None
    bank.isolated.clear()
    bank.set_alpha(0, 0.5)

    assert torch.equal(body(x), bare + 0.5 * kernel(bare))
    assert list(body) == layers
    assert len(body) == 3
    assert body[-1] is layers[2]
    assert list(body[1:]) == layers[1:]
    assert list(body[:-1]) == layers[:2]
    assert type(body[:2]) is nn.Sequential
    with pytest.raises(IndexError):
        body[3]


def test_a_module_that_is_called_twice_gets_its_kernel_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.shared(self.shared(x).relu())

    torch.manual_seed(0)
    model, x = Twice(), torch.randn(5, 4)
    bare = copy.deepcopy(model.shared)
    host = make_host(model, ["shared"], example=x, placement="series")

    kernel = blended(host, "shared")

    once = bare(x) + kernel(bare(x))
    inner = bare(once.relu())
    assert torch.equal(model(x), inner + kernel(inner))


@pytest.mark.parametrize("live", [False, True])
def test_a_slotted_model_can_be_copied_and_pickled(live: bool) -> None:
    host, x = make_host("sequential", ["1"]), make_input("sequential")
    if live:
        blended(host, "1")
    buffer = io.BytesIO()
    torch.save(host.model, buffer)
    buffer.seek(0)

    for twin in (copy.deepcopy(host.model), torch.load(buffer, weights_only=False)):
        assert torch.equal(twin(x), host.model(x))
        assert isinstance(twin[1], Slotted) is live
        assert list(twin.state_dict()) == list(host.model.state_dict())
        if live:
            awaken(bank_of(twin[1]).kernels)  # type: ignore[union-attr]
            assert not torch.equal(twin(x)[0], torch.zeros(3))
            with torch.no_grad():
                next(iter(twin[1].get_submodule(BANK).parameters())).add_(1.0)
            assert not torch.equal(twin(x), host.model(x))


def test_the_bank_exists_only_while_there_are_kernels() -> None:
    module = nn.Linear(2, 2)
    keys = list(module.state_dict())
    attach(module)
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    put_kernel(module, Placement.SERIES, 1, first, None)
    put_kernel(module, Placement.SERIES, 0, second, None)

    assert take_kernel(module, 1) is first
    assert bank_of(module) is not None
    assert take_kernel(module, 0) is second
    assert bank_of(module) is None
    assert list(module.state_dict()) == keys


def test_a_seed_holds_one_kernel_at_most() -> None:
    module = nn.Linear(2, 2)
    attach(module)
    put_kernel(module, Placement.SERIES, 0, nn.Linear(2, 2), None)
    with pytest.raises(AssertionError, match="seed 0 has a kernel already"):
        put_kernel(module, Placement.SERIES, 0, nn.Linear(2, 2), None)


def test_a_kernel_reads_the_first_argument_by_position_or_by_name() -> None:
    class Scaled(nn.Module):
        def forward(self, x: Tensor, factor: float = 1.0) -> Tensor:
            return x * factor

    module, x = Scaled(), torch.ones(2, 2)
    attach(module)
    put_kernel(module, Placement.PARALLEL, 0, nn.Identity(), None)
    bank = bank_of(module)
    assert bank is not None
    bank.isolated.clear()
    bank.set_alpha(0, 1.0)

    assert torch.equal(module(x, factor=3.0), torch.full((2, 2), 4.0))
    assert torch.equal(module(x=x, factor=3.0), torch.full((2, 2), 4.0))


def test_a_block_that_is_called_with_nothing_can_have_a_kernel_in_series() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.ones(3, 2))

        def forward(self) -> Tensor:
            return self.table

    module = Positions()
    attach(module)
    put_kernel(module, Placement.SERIES, 0, nn.Identity(), None)
    bank = bank_of(module)
    assert bank is not None
    bank.isolated.clear()
    bank.set_alpha(0, 1.0)
    assert torch.equal(module(), torch.full((3, 2), 2.0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_kernels_come_in_the_dtype_of_the_host_also_where_a_block_has_no_weights(
    dtype: torch.dtype,
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 3)).to(dtype)
    x = torch.randn(5, 4).to(dtype)
    host = make_host(model, ["1"], example=x, placement="series")

    blended(host, "1")

    assert model(x).dtype is dtype
    assert {w.dtype for w in model.parameters()} == {dtype}
