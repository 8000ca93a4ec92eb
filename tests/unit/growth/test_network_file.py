import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim import SGD

from esper.contracts.errors import CheckpointError
from esper.contracts.stage import SeedStage
from esper.growth.host import Host
from esper.growth.network_file import load_network, save_network
from esper.growth.prepare import HostSetup, prepare
from esper.rundir.layout import NETWORK
from tests.unit.growth.builders import HOSTS, awaken, grow, kernel_of, make_input, make_model

OURS = {"format": "esper-network-2"}
KERNEL = {
    "slot": "block1",
    "seed": 0,
    "blueprint": "mlp",
    "alpha": 1.0,
    "kind": "dense",
    "placement": "series",
    "in_shape": [5],
    "out_shape": [5],
}
SETUP = HostSetup(selection="all", num_seeds=3)


def fresh(model: nn.Module, x: torch.Tensor, setup: HostSetup = SETUP) -> Host:
    """Return a fresh host of a model."""
    return prepare(model, SGD(model.parameters(), lr=0.1), x, setup)


def fossil(host: Host, slot: str, seed: int, blueprint: str, alpha: float) -> None:
    """Grow a kernel with random weights and fossilize it."""
    grow(host, slot, seed, blueprint, alpha)
    awaken(kernel_of(host, slot, seed), rng_seed=seed)
    host.blend(slot, seed, alpha, None, "")
    host.steps.set_alpha(host.seed(slot, seed), alpha)
    for stage in (SeedStage.SHADOWING, SeedStage.PROBATIONARY, SeedStage.FOSSILIZED):
        host.advance(slot, seed, stage, None, "")


def grown(name: str, rng_seed: int = 0) -> Host:
    """Return a host with two fossils in its first slot, the later seed first, and one more."""
    model = make_model(name, rng_seed)
    host = fresh(model, make_input(name))
    slots = list(host.slots)
    offered = host.slots[slots[0]].spec.catalogue
    fossil(host, slots[0], 2, offered[1], 0.7)
    fossil(host, slots[0], 0, offered[0], 1.0)
    fossil(host, slots[-1], 1, offered[2], 0.3)
    return host


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("training", [True, False])
def test_a_loaded_network_gives_the_same_to_the_bit(
    name: str, training: bool, tmp_path: Path
) -> None:
    host, x = grown(name), make_input(name)
    host.model.train(training)
    path = save_network(host, tmp_path)
    expected = host.model(x)
    assert path == tmp_path / NETWORK

    found = load_network(path, fresh(make_model(name, rng_seed=9), x)).train(training)

    assert torch.equal(found(x), expected)
    host.model.eval()
    found.eval()
    if not training:
        state = host.model.state_dict()
        assert found.state_dict().keys() == state.keys()
        assert all(torch.equal(found.state_dict()[key], state[key]) for key in state)


def test_kernels_that_are_still_open_are_saved_as_they_stand(tmp_path: Path) -> None:
    model, x = make_model("sequential"), make_input("sequential")
    host = fresh(model, x)
    grow(host, "0", 0)
    awaken(kernel_of(host, "0"))
    host.model.eval()
    save_network(host, tmp_path)
    found = load_network(tmp_path / NETWORK, fresh(make_model("sequential", 1), x)).eval()
    assert torch.equal(found(x), host.model(x))


def test_tied_weights_are_saved_once_and_tied_again(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.block = nn.Embedding(5, 4), nn.Linear(4, 4)
            self.head = nn.Linear(4, 5, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.head(self.block(self.embedding(tokens)))
            return out

    torch.manual_seed(0)
    x, model, other = torch.tensor([[0, 1, 2], [2, 3, 4]]), Tied(), Tied()
    host = fresh(model, x)
    fossil(host, "block", 1, "mlp", 0.5)
    found = load_network(save_network(host, tmp_path), fresh(other, x))
    assert torch.equal(found(x), model(x))
    assert other.head.weight is other.embedding.weight


def refused(path: Path, message: str, name: str = "mlp") -> None:
    with pytest.raises(CheckpointError, match=message):
        load_network(path, fresh(make_model(name), make_input(name)))


def test_a_file_that_is_missing_or_broken_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "none.safetensors", "cannot read the network")
    refused(tmp_path, "cannot read the network")
    path = save_network(grown("mlp"), tmp_path)
    whole = path.read_bytes()
    for broken in (b"", b"nonsense", whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(broken)
        refused(path, "cannot read the network")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, r"not a network saved by Esper \(wanted esper-network-2\)"),
        ({"format": "pt"}, "not a network saved by Esper"),
        ({"esper": "[1]"}, "not a network saved by Esper"),
        ({"esper": "{"}, "cannot read the network"),
        ({"esper": json.dumps(OURS)}, "does not fit the host Sequential: 'kernels'"),
        ({"esper": json.dumps({**OURS, "kernels": [1]})}, "does not fit"),
        (
            {"esper": json.dumps({**OURS, "kernels": []})},
            "the host has no 'weight', which the file holds",
        ),
        (
            {"esper": json.dumps({**OURS, "kernels": [{**KERNEL, "blueprint": "gone"}]})},
            "unknown blueprint 'gone'",
        ),
    ],
)
def test_a_file_that_is_not_ours_is_refused(
    metadata: dict[str, str] | None, message: str, tmp_path: Path
) -> None:
    save_file({"weight": torch.ones(1)}, tmp_path / NETWORK, metadata=metadata)
    refused(tmp_path / NETWORK, message)


def test_a_file_of_another_host_is_refused(tmp_path: Path) -> None:
    path = save_network(grown("mlp"), tmp_path)
    refused(path, "does not fit the host", name="cnn")
    refused(path, "the host has no module 'block1', where the file", name="sequential")


@pytest.mark.parametrize("name", ["mlp", "batch_norm"])
def test_a_single_flipped_bit_of_a_weight_is_refused(name: str, tmp_path: Path) -> None:
    path = save_network(grown(name), tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    with pytest.raises(CheckpointError, match=r"network\.safetensors fails its checksum"):
        load_network(path, fresh(make_model(name), make_input(name)))
