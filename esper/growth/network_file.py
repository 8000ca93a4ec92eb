"""Save a grown network as safetensors, and load it into a fresh host.

The tensors have the names of the model's state dict.  The metadata describe each kernel so that it
can be built without a grower, and hold a checksum of the tensors.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_model
from torch import Tensor, nn

from esper.blueprint import catalogue
from esper.contracts.checks import require
from esper.contracts.errors import CheckpointError, EsperError
from esper.contracts.slot import Placement, SlotKind, SlotSpec
from esper.growth import attach
from esper.growth.bank import KernelBank
from esper.growth.host import Host
from esper.rundir.layout import NETWORK

_ENTRY, _FORMAT = "esper", "esper-network-2"
_MISFITS = (AttributeError, CheckpointError, KeyError, RuntimeError, TypeError, ValueError)
"""Errors of a file whose kernels or tensors do not fit a host."""


def save_network(host: Host, run_dir: Path) -> Path:
    """Write the network of a run; return the file's path.  Raises what `save` raises."""
    path = run_dir / NETWORK
    save(host.model, path)
    return path


def load_network(path: Path, host: Host) -> nn.Module:
    """Load the network of a run into a fresh host.  Raises what `load` raises."""
    return load(host.model, path)


def save(model: nn.Module, path: Path | str) -> None:
    """Write a grown model: the host's tensors and every kernel that its output contains.

    Kernels that are still isolated are left out: they do not change the output.  The optimizer's
    state is not saved.  The file appears at once or not at all.

    Raises:
        EsperError: if the file cannot be written, or the model holds state that is no tensor.
        ValueError: if `model` is no module, or `path` names no file.
    """
    require(isinstance(model, nn.Module), "model", "an nn.Module", type(model).__name__)
    require(bool(Path(path).name), "path", "the path of a file", repr(path))
    path, model = Path(path), _unwrapped(model)
    part = path.with_name(f"{path.name}.part")
    with _without_isolated(model):
        try:
            # A single entry: the order in which the library writes entries varies by process.
            entry = {
                "format": _FORMAT,
                "kernels": _kernels(model),
                "sha256": _checksum(model.state_dict()),
            }
            save_model(model, str(part), metadata={_ENTRY: json.dumps(entry)})
            os.replace(part, path)
        except (OSError, SafetensorError, TypeError, ValueError, AttributeError) as error:
            raise EsperError(f"cannot write {path}: {error}") from error


def load(host: nn.Module, path: Path | str) -> nn.Module:
    """Load a saved network into a fresh host, in place; return the host.

    The host must have the architecture of the one that grew; its weights are replaced.  Kernels
    have the alpha with which they were saved, and raise where they fail.  Blueprints of your own
    must be registered before.  No grower can continue the growth of a loaded network.

    Raises:
        CheckpointError: if the file is missing, broken, of another format or of another host; the
            host then stays as it was.
        ValueError: if `host` is no module, or holds kernels already.
    """
    require(isinstance(host, nn.Module), "host", "an nn.Module", type(host).__name__)
    held = [name for name, module in host.named_modules() if isinstance(module, KernelBank)]
    require(not held, "host", "fresh, without kernels", f"kernels in {', '.join(held)}")
    path, bare = Path(path), _unwrapped(host)
    metadata = _metadata(path)
    try:
        for kernel in metadata["kernels"]:
            _put_kernel(bare, kernel)
        state = _read(bare, path)
    except _MISFITS as error:
        _remove_kernels(bare)
        problem = " ".join(str(error).split())  # torch's text has several lines
        kind = type(bare).__name__
        raise CheckpointError(f"{path} does not fit the host {kind}: {problem}") from error
    if _checksum(state) != metadata.get("sha256"):
        _remove_kernels(bare)
        raise CheckpointError(f"{path} fails its checksum: it is not what was saved")
    bare.load_state_dict(state)
    return host


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return the module that `torch.compile` wrapped, any other as it is."""
    inner = getattr(model, "_orig_mod", model)
    assert isinstance(inner, nn.Module)
    return inner


def _metadata(path: Path) -> dict[str, Any]:
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get(_ENTRY, "{}"))
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"cannot read the network {path}: {error}") from error
    if not isinstance(metadata, dict) or metadata.get("format") != _FORMAT:
        raise CheckpointError(f"{path} is not a network saved by Esper (wanted {_FORMAT})")
    return metadata


def _banks(model: nn.Module) -> list[tuple[str, KernelBank]]:
    """Return the kernel banks of a model, each with the path of its block."""
    return [
        (name.rpartition(attach.BANK)[0].rstrip("."), module)
        for name, module in model.named_modules()
        if isinstance(module, KernelBank)
    ]


def _kernels(model: nn.Module) -> list[dict[str, Any]]:
    """Return the description of each kernel, enough to build it again."""
    described = []
    for slot, bank in _banks(model):
        for name in bank.kernels:
            if bank.spec is None or name not in bank.blueprints:
                raise ValueError(f"no grower put the kernel of seed {name} into '{slot}'")
            described.append(
                {
                    "slot": slot,
                    "seed": int(name),
                    "blueprint": bank.blueprints[name],
                    "alpha": float(bank.get_buffer(f"alpha_{name}")),
                    "kind": bank.spec.kind.value,
                    "placement": bank.placement.value,
                    "in_shape": list(bank.spec.in_shape),
                    "out_shape": list(bank.spec.out_shape),
                }
            )
    return described


@contextmanager
def _without_isolated(model: nn.Module) -> Iterator[None]:
    """Take isolated kernels out of the model for a block; they do not change its output."""
    before = [(bank, bank.kernels, dict(bank._buffers)) for _, bank in _banks(model)]
    try:
        for bank, kernels, _ in before:
            blended = {name: each for name, each in kernels.items() if name not in bank.isolated}
            bank.kernels = nn.ModuleDict(blended)
            for name in bank.isolated:
                del bank._buffers[f"alpha_{name}"]
        yield
    finally:
        for bank, kernels, buffers in before:
            bank.kernels = kernels
            bank._buffers.update(buffers)


def _put_kernel(host: nn.Module, saved: dict[str, Any]) -> None:
    """Build a kernel and put it, blended, into its slot; draws no global random numbers."""
    slot, seed, blueprint = saved["slot"], saved["seed"], saved["blueprint"]
    spec = SlotSpec(
        name=slot,
        kind=SlotKind(saved["kind"]),
        placement=Placement(saved["placement"]),
        in_shape=tuple(saved["in_shape"]),
        out_shape=tuple(saved["out_shape"]),
        catalogue=(blueprint,),
    )
    block = dict(host.named_modules()).get(slot)
    if block is None:
        raise ValueError(f"the host has no module '{slot}', where the file has a kernel")
    with torch.random.fork_rng(devices=[]):
        kernel = catalogue.get(blueprint).build(spec.kind, spec.in_shape, spec.out_shape)
    attach.put_kernel(block, spec.placement, seed, kernel, attach.weight_like(block, host))
    attach.describe_kernel(block, spec, seed, blueprint)
    bank = attach.kernels_of(block)
    bank.isolated.discard(str(seed))
    bank.set_alpha(seed, saved["alpha"])


def _read(host: nn.Module, path: Path) -> dict[str, Tensor]:
    """Return the tensors of the file, by each name that the host has for them.

    Raises:
        ValueError: if names, shapes or types are others.
    """
    tensors, state = load_file(path), host.state_dict()
    for name, tensor in tensors.items():
        if name not in state:
            raise ValueError(f"the host has no '{name}', which the file holds")
        for what, own, saved in (
            ("shape", [*state[name].shape], [*tensor.shape]),
            ("dtype", state[name].dtype, tensor.dtype),
        ):
            if own != saved:
                raise ValueError(f"'{name}' has {what} {own}, in the file {saved}")
    # The file holds tied tensors once.
    found = {_place(state[name]): tensor for name, tensor in tensors.items()}
    for name, tensor in state.items():
        if name not in tensors:
            if _place(tensor) not in found:
                raise ValueError(f"the file has no '{name}' of the host")
            tensors[name] = found[_place(tensor)]
    return tensors


def _place(tensor: Tensor) -> tuple[int, torch.Size]:
    return tensor.data_ptr(), tensor.shape


def _remove_kernels(host: nn.Module) -> None:
    for slot, _ in _banks(host):
        attach.put_bank(host.get_submodule(slot), None)


def _checksum(state: Mapping[str, Tensor]) -> str:
    """Return a digest of a state dict."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
