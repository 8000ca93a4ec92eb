"""Save a grown network as safetensors, and load it into a fresh host.

The tensors have the names of the model's state dict.  The metadata list the kernels and hold a
checksum of the tensors.
"""

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import nn

from esper.contracts.errors import CheckpointError, EsperError
from esper.growth import attach
from esper.growth.host import Host
from esper.growth.host_state import rebuild_kernel
from esper.rundir.layout import NETWORK

_ENTRY, _FORMAT = "esper", "esper-network-1"


def save_network(host: Host, run_dir: Path) -> Path:
    """Write the network, kernels included; return the file's path.

    Raises:
        EsperError: if the file cannot be written.
    """
    kernels = [
        {"slot": seed.slot, "seed": seed.index, "blueprint": seed.current.blueprint}
        for seed in host.seeds()
        if seed.current is not None
    ]
    path = run_dir / NETWORK
    part = path.with_suffix(".part")
    # A single entry, because the order in which the library writes entries varies by process.
    entry = {"format": _FORMAT, "kernels": kernels, "sha256": _checksum(host.model)}
    try:
        save_model(host.model, str(part), metadata={_ENTRY: json.dumps(entry)})
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        raise EsperError(f"cannot write {path}: {error}") from error
    return path


def load_network(path: Path, host: Host) -> nn.Module:
    """Load a saved network, kernels included, into a fresh host; return its model.

    Raises:
        CheckpointError: if the file is missing, broken, of another format or of another host.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get(_ENTRY, "{}"))
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"cannot read the network {path}: {error}") from error
    if not isinstance(metadata, dict) or metadata.get("format") != _FORMAT:
        raise CheckpointError(f"{path} is not a network saved by Esper (wanted {_FORMAT})")
    try:
        for kernel in metadata["kernels"]:
            _put_kernel(host, **kernel)
        load_model(host.model, str(path))
    except (CheckpointError, KeyError, RuntimeError, TypeError, ValueError) as error:
        problem = " ".join(str(error).split())  # torch's text has several lines
        raise CheckpointError(f"{path} does not fit the configured host: {problem}") from error
    if _checksum(host.model) != metadata.get("sha256"):
        raise CheckpointError(f"{path} fails its checksum: it is not what was saved")
    return host.model


def _put_kernel(host: Host, slot: str, seed: int, blueprint: str) -> None:
    if slot not in host.slots or seed >= len(host.slots[slot].seeds):
        raise ValueError(f"there is no seed {seed} of slot '{slot}'")
    rebuild_kernel(host, slot, seed, blueprint)
    attach.kernels_of(host.slots[slot].module).isolated.discard(str(seed))


def _checksum(model: nn.Module) -> str:
    """Return a digest of the model's state dict."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
