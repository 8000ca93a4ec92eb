"""`esper.save` and `esper.load`: a grown network of any loop, without a grower."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import esper
from esper.contracts.errors import CheckpointError, EsperError
from esper.contracts.slot import Placement
from esper.growth import attach
from esper.growth.bank import KernelBank
from esper.kernels.errors import KernelFailedError
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
from tests.unit.growth.faulty import Trouble, bank_in, offered, plant
from tests.unit.scripted import adapt, losses_and_hits, make_grower, script, train
from tests.unit.scripted import make_model as model_of_a_loop

FILE = "grown.safetensors"


def grown(name: str) -> nn.Module:
    """Return a model with a kernel in its first slot at alpha 0.7, and one in its last."""
    host = make_host(name)
    first, last = next(iter(host.slots)), list(host.slots)[-1]
    blended(host, first, 2, host.slots[first].spec.catalogue[1], alpha=0.7)
    blended(host, last, 0, host.slots[last].spec.catalogue[0], alpha=1.0)
    return host.model.eval()


@pytest.mark.parametrize("name", HOSTS)
def test_a_network_returns_to_the_bit_without_a_grower(name: str, tmp_path: Path) -> None:
    model, x = grown(name), make_input(name)
    esper.save(model, tmp_path / FILE)
    fresh = make_model(name, rng_seed=9).eval()
    bare = fresh(x)
    before = torch.get_rng_state()
    found = esper.load(fresh, str(tmp_path / FILE))
    assert found is fresh
    assert torch.equal(found(x), model(x))
    assert not torch.equal(found(x), bare)
    assert torch.equal(torch.get_rng_state(), before)
    assert found.state_dict().keys() == model.state_dict().keys()


def test_a_loaded_network_can_be_saved_again(tmp_path: Path) -> None:
    model, x = grown("cnn"), make_input("cnn")
    esper.save(model, tmp_path / FILE)
    once = esper.load(make_model("cnn", 1), tmp_path / FILE)
    esper.save(once, tmp_path / "again.safetensors")
    twice = esper.load(make_model("cnn", 2), tmp_path / "again.safetensors").eval()
    assert torch.equal(twice(x), model(x))
    assert (tmp_path / FILE).read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def test_a_loaded_network_trains_like_the_saved_one(tmp_path: Path) -> None:
    model, x = grown("mlp"), make_input("mlp")
    esper.save(model, tmp_path / FILE)
    found = esper.load(make_model("mlp", 9), tmp_path / FILE)
    for network in (model, found):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        network.train()(x).square().mean().backward()
        optimizer.step()
    assert torch.equal(found(x), model(x))


def test_a_network_from_the_middle_of_a_loop_is_what_its_evaluation_sees(tmp_path: Path) -> None:
    grower, _ = make_grower(policy=script(e2=[adapt("0", 1)], e4=[adapt("3", 1)]))
    for _ in range(4):
        train(grower.host.model, grower.host.optimizer)
        grower.step(losses_and_hits)
    model = grower.host.model
    banks = {name: each for name, each in model.named_modules() if isinstance(each, KernelBank)}
    assert [len(bank.isolated) for bank in banks.values()] == [0, 1]
    keys, groups = list(model.state_dict()), len(grower.host.optimizer.param_groups)

    esper.save(model, tmp_path / FILE)

    assert list(model.state_dict()) == keys
    assert len(grower.host.optimizer.param_groups) == groups
    found = esper.load(model_of_a_loop(), tmp_path / FILE).eval()
    assert [name for name, _ in found.named_modules() if name.endswith(".kernels.0")] == [
        "0.esper_kernels.kernels.0"
    ]
    x = torch.randn(5, 4)
    assert torch.equal(found(x), model.eval()(x))
    train(model, grower.host.optimizer)
    grower.step(losses_and_hits)
    assert not torch.equal(found(x), model.eval()(x))


def test_an_isolated_kernel_beside_a_blended_one_is_left_out(tmp_path: Path) -> None:
    host, x = make_host("sequential", ["1"]), make_input("sequential")
    blended(host, "1", 0, alpha=0.5)
    grow(host, "1", 1)
    awaken(kernel_of(host, "1", 1))
    esper.save(host.model.eval(), tmp_path / FILE)
    found = esper.load(make_model("sequential", 1), tmp_path / FILE).eval()
    assert torch.equal(found(x), host.model(x))
    bank = found.get_submodule("1.esper_kernels")
    assert isinstance(bank, KernelBank)
    assert (list(bank.kernels), bank.isolated) == (["0"], set())
    assert list(bank_in(host, "1").kernels) == ["0", "1"]
    assert float(bank_in(host, "1").get_buffer("alpha_1")) == 0.0


def test_a_model_that_never_grew_returns_too(tmp_path: Path) -> None:
    model, x = make_model("mlp"), make_input("mlp")
    esper.save(model, tmp_path / FILE)
    assert torch.equal(esper.load(make_model("mlp", 4), tmp_path / FILE)(x), model(x))


def test_another_host_is_refused_and_stays_as_it_was(tmp_path: Path) -> None:
    esper.save(grown("sequential"), tmp_path / FILE)
    narrow, deeper = make_model("sequential"), make_model("sequential")
    narrow[2] = nn.Linear(6, 2)
    deeper.append(nn.Linear(3, 3))
    for other, why in (
        (make_model("mlp"), "the host has no module '0', where the file has a kernel"),
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3)), "the host has no '1.0.bias'"),
        (narrow, r"'2.bias' has shape \[2\], in the file \[3\]"),
        (deeper, "the file has no '3.weight' of the host"),
        (make_model("sequential").double(), "has dtype torch.float64, in the file torch.float32"),
    ):
        before = copy.deepcopy(other.state_dict())
        with pytest.raises(CheckpointError, match=f"does not fit the host Sequential: .*{why}"):
            esper.load(other, tmp_path / FILE)
        assert list(other.state_dict()) == list(before)
        assert all(torch.equal(other.state_dict()[key], before[key]) for key in before)


def test_a_host_with_kernels_is_refused(tmp_path: Path) -> None:
    model = grown("mlp")
    esper.save(model, tmp_path / FILE)
    with pytest.raises(ValueError, match="host must be fresh, without kernels, got kernels in"):
        esper.load(model, tmp_path / FILE)


@pytest.mark.parametrize("thing", [None, {}, "model"])
def test_what_is_no_module_is_refused(thing: object, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model must be an nn\.Module, got "):
        esper.save(thing, tmp_path / FILE)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"host must be an nn\.Module, got "):
        esper.load(thing, tmp_path / FILE)  # type: ignore[arg-type]


def test_a_file_with_another_tensor_is_refused_and_the_host_stays_as_it_was(tmp_path: Path) -> None:
    esper.save(grown("sequential"), tmp_path / FILE)
    content = bytearray((tmp_path / FILE).read_bytes())
    content[-3] ^= 1
    (tmp_path / FILE).write_bytes(content)
    host = make_model("sequential", 4)
    before = copy.deepcopy(host.state_dict())
    with pytest.raises(CheckpointError, match="fails its checksum"):
        esper.load(host, tmp_path / FILE)
    assert list(host.state_dict()) == list(before)
    assert all(torch.equal(host.state_dict()[key], before[key]) for key in before)


def test_a_compiled_model_is_saved_and_loaded_as_what_it_wraps(tmp_path: Path) -> None:
    model, x = grown("sequential"), make_input("sequential")
    esper.save(torch.compile(model, backend="eager"), tmp_path / FILE)
    fresh = torch.compile(make_model("sequential", 4).eval(), backend="eager")
    assert esper.load(fresh, tmp_path / FILE) is fresh
    with torch.no_grad():
        assert torch.equal(fresh(x), model(x))


def test_tied_weights_return_tied(tmp_path: Path) -> None:
    def tied() -> nn.Sequential:
        host = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 4))
        host[2].weight = host[0].weight
        return host

    model, fresh = tied(), tied()
    esper.save(model, tmp_path / FILE)
    esper.load(fresh, tmp_path / FILE)
    assert fresh[2].weight is fresh[0].weight
    assert torch.equal(fresh[0].weight, model[0].weight)
    assert torch.equal(fresh[2].bias, model[2].bias)


def test_a_path_that_names_no_file_is_refused() -> None:
    with pytest.raises(ValueError, match="path must be the path of a file, got ''"):
        esper.save(make_model("mlp"), "")


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(EsperError, match=r"cannot write .*nowhere/grown\.safetensors"):
        esper.save(make_model("mlp"), tmp_path / "nowhere" / FILE)


@pytest.fixture
def trouble() -> Iterator[Trouble]:
    with offered("bad") as found:
        yield found["bad"]


def test_a_loaded_kernel_that_fails_raises(trouble: Trouble, tmp_path: Path) -> None:
    host, x = make_host("sequential", ["1"]), make_input("sequential")
    plant(host, "1", 3, "bad")
    esper.save(host.model, tmp_path / FILE)
    found = esper.load(make_model("sequential", 1), tmp_path / FILE)
    trouble.forward = ZeroDivisionError("mistake")
    with pytest.raises(KernelFailedError, match="kernel 'bad' of seed 3 in slot '1' failed"):
        found.eval()(x)
    with pytest.raises(ZeroDivisionError):
        found.train()(x)


def test_a_blueprint_that_is_unknown_here_is_named(tmp_path: Path) -> None:
    with offered("bad"):
        host = make_host("sequential", ["1"])
        plant(host, "1", 0, "bad")
        esper.save(host.model, tmp_path / FILE)
    with pytest.raises(CheckpointError, match="unknown blueprint 'bad'"):
        esper.load(make_model("sequential"), tmp_path / FILE)


def test_a_kernel_that_no_grower_put_there_is_not_saved(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    attach.put_kernel(model[0], Placement.SERIES, 0, nn.Linear(4, 4), None)
    attach.kernels_of(model[0]).isolated.clear()
    with pytest.raises(EsperError, match="no grower put the kernel of seed 0 into '0'"):
        esper.save(model, tmp_path / FILE)


def test_half_precision_returns(tmp_path: Path) -> None:
    host = make_host(make_model("mlp").bfloat16(), ["block1"], example=make_input("mlp").bfloat16())
    blended(host, "block1", 0)
    x: Tensor = make_input("mlp").bfloat16()
    esper.save(host.model.eval(), tmp_path / FILE)
    found = esper.load(make_model("mlp", 3).bfloat16(), tmp_path / FILE).eval()
    assert torch.equal(found(x), host.model(x))
