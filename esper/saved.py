"""Save a grown network and build it again: weights as safetensors, its kernels in the metadata."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.optim import SGD

from esper.choices import Choices, prepare
from esper.contracts.errors import CheckpointError, EsperError
from esper.growth.apply import KernelError
from esper.growth.host import Host
from esper.growth.implant import implant

NETWORK = "network.safetensors"
_ENTRY, _FORMAT = "esper", "esper-network-1"


def save_network(host: Host, run_dir: Path) -> Path:
    """Write the network as it stands, kernels included; return the file's path.

    Raises:
        EsperError: if the file cannot be written.
    """
    kernels = [
        {"slot": seed.slot, "seed": seed.index, "blueprint": seed.life.blueprint}
        for seed in host.seeds()
        if seed.life is not None
    ]
    path = run_dir / NETWORK
    # One entry: the library writes several in an order that changes from process to process.
    metadata = {_ENTRY: json.dumps({"format": _FORMAT, "kernels": kernels})}
    try:
        save_model(host.model, str(path), metadata=metadata)
    except (OSError, SafetensorError) as error:
        raise EsperError(f"cannot write {path}: {error}") from error
    return path


def load_network(
    path: Path, model: nn.Module, example_input: Tensor, choices: Choices
) -> nn.Module:
    """Return `model`, a fresh host of the same shape, grown and filled as it was saved.

    Raises:
        CheckpointError: if the file is missing, broken, not ours or of another host.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get(_ENTRY, "{}"))
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"cannot read the network {path}: {error}") from error
    if not isinstance(metadata, dict) or metadata.get("format") != _FORMAT:
        raise CheckpointError(f"{path} is not a network saved by Esper (wanted {_FORMAT})")
    host = prepare(model, SGD(model.parameters()), example_input, choices)
    try:
        for kernel in metadata["kernels"]:
            implant(host, kernel["slot"], kernel["seed"], kernel["blueprint"], 0)
        load_model(model, str(path))
    except (KernelError, KeyError, RuntimeError, TypeError, ValueError) as error:
        problem = " ".join(str(error).split())  # torch lists keys over several lines
        raise CheckpointError(f"{path} does not fit the configured host: {problem}") from error
    return model
