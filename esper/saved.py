"""Save a grown network and build it again: weights as safetensors, its kernels in the metadata."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.optim import SGD

from esper.choices import Choices, prepare
from esper.contracts.errors import CheckpointError, EsperError
from esper.growth import attach
from esper.growth.apply import build_kernel
from esper.growth.host import Host

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
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(f"{path} is not a network saved by Esper (wanted {_FORMAT})")
    host = prepare(model, SGD(model.parameters()), example_input, choices)
    try:
        for kernel in metadata["kernels"]:
            _put(host, kernel)
        load_model(model, str(path))
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} does not fit the configured host: {error}") from error
    return model


def _put(host: Host, kernel: dict[str, Any]) -> None:
    slot, seed = kernel["slot"], kernel["seed"]
    if slot not in host.slots or seed >= len(host.slots[slot].seeds):
        raise ValueError(f"it has a kernel in seed {seed} of slot '{slot}', which is not there")
    built = build_kernel(host, slot, seed, kernel["blueprint"], 0)
    host.put_kernel(slot, seed, built.module)
    bank = attach.bank_of(host.slots[slot].module)
    assert bank is not None, "a kernel was just put in"
    bank.isolated.discard(str(seed))
