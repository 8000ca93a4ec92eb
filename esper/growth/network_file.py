"""Save a grown network and build it again: weights as safetensors, its kernels in the metadata."""

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
from esper.kernels.kernel import Kernel, KernelError
from esper.kernels.pipeline import build_kernel
from esper.rundir.layout import NETWORK

_ENTRY, _FORMAT = "esper", "esper-network-1"


def save_network(host: Host, run_dir: Path) -> Path:
    """Write the network as it stands, kernels included; return the file's path.

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
    # One entry: the library writes several in an order that changes from process to process.
    facts = {"format": _FORMAT, "kernels": kernels, "sha256": _checksum(host.model)}
    metadata = {_ENTRY: json.dumps(facts)}
    try:
        save_model(host.model, str(part), metadata=metadata)
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        raise EsperError(f"cannot write {path}: {error}") from error
    return path


def load_network(path: Path, host: Host) -> nn.Module:
    """Grow and fill a fresh host as the network in a file was saved; return its model.

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
    try:
        for kernel in metadata["kernels"]:
            insert_kernel(host, kernel["slot"], kernel["seed"], kernel["blueprint"], 0)
        load_model(host.model, str(path))
    except (KernelError, KeyError, RuntimeError, TypeError, ValueError) as error:
        problem = " ".join(str(error).split())  # torch lists keys over several lines
        raise CheckpointError(f"{path} does not fit the configured host: {problem}") from error
    if _checksum(host.model) != metadata.get("sha256"):
        raise CheckpointError(f"{path} fails its checksum: it is not what was saved")
    return host.model


def _checksum(model: nn.Module) -> str:
    """Return a digest of every value that the model's state dict holds."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def insert_kernel(
    host: Host, slot: str, seed: int, blueprint: str, rng_seed: int, alpha: float = 1.0
) -> Kernel:
    """Build a kernel, put it into a slot with a blend factor of `alpha`, and return it.

    The seed's record stays dormant and the optimizer does not know the kernel.

    Raises:
        ValueError: if the host has no such slot or seed.
        KernelError: if the blueprint cannot be built there.
    """
    if slot not in host.slots or seed >= len(host.slots[slot].seeds):
        raise ValueError(f"there is no seed {seed} of slot '{slot}'")
    kernel = build_kernel(host.request(slot, seed, blueprint, rng_seed))
    host.put_kernel(slot, seed, kernel.module)
    bank = attach.bank_of(host.slots[slot].module)
    assert bank is not None, "a kernel was just put in"
    bank.isolated.discard(str(seed))
    bank.set_alpha(seed, alpha)
    return kernel
