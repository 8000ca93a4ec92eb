"""A checkpoint is a folder: tensors, other values as JSON, and a manifest with their checksums.

The manifest is written last and renamed into place, so a folder with a manifest is complete.  It
ends in its own checksum.  Each file is read once, and the bytes that are used are those checked.
"""

import errno
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never

import safetensors.torch
from safetensors import SafetensorError

from esper.checkpoint.tree import join, split
from esper.contracts.errors import CheckpointError

FORMAT = "esper-checkpoint-8"
TENSORS, STATE, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"
_PART = MANIFEST + ".part"


@dataclass(frozen=True, slots=True)
class Saved:
    """The content of a checkpoint.

    tree: nested dicts, lists, tuples, plain values and tensors on the cpu, as they were saved.
    facts: plain values in the manifest.
    """

    tree: Any
    facts: dict[str, Any]


def write(folder: Path, tree: Any, facts: dict[str, Any]) -> None:
    """Write a checkpoint to a new folder, and wait until it is on the disk.

    Raises:
        TypeError: if the tree holds a value that cannot be saved; nothing is written then.
        OSError: naming the file that cannot be written; the folder has no manifest then.
    """
    plain, tensors = split(tree)
    plain_facts, tensors_in_facts = split(facts)
    if tensors_in_facts:
        raise TypeError(f"facts cannot hold a tensor ({next(iter(tensors_in_facts))})")
    contents = {TENSORS: safetensors.torch.save(tensors), STATE: _to_json(plain)}
    files = {name: {"sha256": _checksum(content)} for name, content in contents.items()}
    manifest = _sealed({"format": FORMAT, "facts": plain_facts, "files": files})
    os.mkdir(folder)
    for name, content in contents.items():
        write_file(folder / name, content)
    write_file(folder / _PART, manifest)
    os.rename(folder / _PART, folder / MANIFEST)
    sync_folder(folder)


def read(folder: Path) -> Saved:
    """Return the content of a checkpoint after checking every byte of it.

    Raises:
        CheckpointError: if a file is missing, altered or replaced, or of another format.
    """
    manifest = _manifest(folder)
    tensors = _content(folder / TENSORS, manifest["files"])
    state = _content(folder / STATE, manifest["files"])
    try:
        tree = join(_from_json(folder / STATE, state), safetensors.torch.load(tensors))
    except (SafetensorError, ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{folder} does not hold a saved tree: {error}") from error
    return Saved(tree=tree, facts=manifest["facts"])


def write_file(path: Path, content: bytes) -> None:
    """Write a new file, and wait until it is on the disk.

    Raises:
        OSError: if it cannot be written; unlike an error of `os.write`, it names the file.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            remaining = memoryview(content)
            while remaining:
                remaining = remaining[os.write(descriptor, remaining) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can sync a folder."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems refuse to sync a folder with this error.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sealed(manifest: dict[str, Any]) -> bytes:
    """Return a manifest as bytes, with the checksum of its other keys."""
    return _to_json({**manifest, "checksum": _checksum(_to_json(manifest))})


def _manifest(folder: Path) -> dict[str, Any]:
    """Return the checked manifest, its facts joined again."""
    path = folder / MANIFEST
    content = _bytes_of(path)
    manifest = _from_json(path, content)
    name = manifest.get("format") if isinstance(manifest, dict) else None
    if name != FORMAT:
        raise CheckpointError(f"{path} is of the format {name!r}, wanted {FORMAT!r}")
    if _sealed({key: value for key, value in manifest.items() if key != "checksum"}) != content:
        raise CheckpointError(f"{path} was altered: its checksum differs")
    try:
        return {"files": manifest["files"], "facts": join(manifest["facts"], {})}
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} does not hold a manifest: {error}") from error


def _content(path: Path, files: dict[str, Any]) -> bytes:
    """Return the bytes of a file whose checksum is that in the manifest."""
    content = _bytes_of(path)
    try:
        checksum = files[path.name]["sha256"]
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path.parent / MANIFEST} does not know {path.name}") from error
    if _checksum(content) != checksum:
        raise CheckpointError(f"{path} was altered: its checksum differs")
    return content


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(f"{path} is missing") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error


def _to_json(value: Any) -> bytes:
    text = json.dumps(value, allow_nan=False, check_circular=False, separators=(",", ":"))
    return text.encode("ascii")


def _from_json(path: Path, content: bytes) -> Any:
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not a number of JSON")
