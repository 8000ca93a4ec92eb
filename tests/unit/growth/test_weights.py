"""Hosts that start from a file of weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from esper.contracts.errors import ConfigError
from esper.growth.weights import load_weights


def host(width: int = 3, depth: int = 1) -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(2 if at == 0 else width, width) for at in range(depth)))


def saved(path: Path, state: dict[str, Tensor]) -> str:
    """Write a file in the format of its ending; return its name."""
    write = save_file if path.suffix == ".safetensors" else torch.save
    write(state, path)
    return str(path)


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_a_host_takes_the_weights_of_a_file(tmp_path: Path, ending: str) -> None:
    trained, fresh = host(), host()
    load_weights(fresh, saved(tmp_path / f"net.{ending}", trained.state_dict()))
    assert torch.equal(fresh[0].weight, trained[0].weight)
    assert torch.equal(fresh[0].bias, trained[0].bias)


REFUSED = {
    "less": (host().state_dict(), 2, "it lacks 1.bias, 1.weight, which the model has"),
    "more": (host(depth=3).state_dict(), 1, "1.bias, 1.weight, 2.bias and 1 others, which the"),
    "wider": (host(width=4).state_dict(), 1, "0.weight is of shape (4, 2), the model's of (3, 2)"),
    "grown": ({"0.esper_kernels.alpha_0": torch.ones(())}, 1, "it is a network with kernels"),
}


@pytest.mark.parametrize(("state", "depth", "problem"), REFUSED.values(), ids=REFUSED)
def test_weights_of_another_network_are_refused_and_change_nothing(
    tmp_path: Path, state: dict[str, Tensor], depth: int, problem: str
) -> None:
    fresh = host(depth=depth)
    before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    path = saved(tmp_path / "net.pt", state)
    with pytest.raises(ConfigError) as caught:
        load_weights(fresh, path)
    assert str(caught.value).startswith(f"model.weights={path}: ")
    assert problem in str(caught.value)
    assert all(torch.equal(before[name], each) for name, each in fresh.state_dict().items())


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"net": host()}, tmp_path / "module.pt")
    (tmp_path / "text.pt").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    for name, problem in {
        "nothing.pt": "it cannot be read (No such file or directory)",
        "nothing.safetensors": "it cannot be read (No such file or directory",
        "list.pt": "it is no state dict, names with their tensors",
        "module.pt": "it holds more than tensors",
        "text.pt": "it ",
        "text.safetensors": "it cannot be read (",
    }.items():
        with pytest.raises(ConfigError, match=r"^model\.weights=") as caught:
            load_weights(host(), str(tmp_path / name))
        assert problem in str(caught.value)
        assert "\n" not in str(caught.value)
