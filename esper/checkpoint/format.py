"""One checkpoint is one folder: tensors, the rest as JSON, and a manifest that vouches for both.

The manifest is written last, by one rename, so a folder that has one is complete.  It ends in a
checksum of itself.  Each file is read once: the bytes that are checked are those that are used.
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

FORMAT = "esper-checkpoint-2"
TENSORS, STATE, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"
_PART = MANIFEST + ".part"


@dataclass(frozen=True, slots=True)
class Saved:
    """What a checkpoint holds.

    tree: nested dicts, lists, tuples, plain values and tensors on the cpu, as they were saved.
    facts: what can be known without reading the tree (`read_facts`).
    """

    tree: Any
    facts: dict[str, Any]


def write(folder: Path, tree: Any, facts: dict[str, Any]) -> int:
    """Make a folder that is on the disk when this returns; return the size of its files in bytes.

    Raises:
        TypeError: if the tree holds what cannot be saved; nothing was written then.
        OSError: if a file cannot be written, by its name; the folder has no manifest then.
    """
    plain, tensors = split(tree)
    plain_facts, tensors_in_facts = split(facts)
    if tensors_in_facts:
        raise TypeError(f"facts cannot hold a tensor ({next(iter(tensors_in_facts))})")
    contents = {TENSORS: safetensors.torch.save(tensors), STATE: _to_json(plain)}
    files = {
        name: {"size": len(content), "sha256": _checksum(content)}
        for name, content in contents.items()
    }
    manifest = _sealed({"format": FORMAT, "facts": plain_facts, "files": files})
    os.mkdir(folder)
    for name, content in contents.items():
        write_file(folder / name, content)
    write_file(folder / _PART, manifest)
    os.rename(folder / _PART, folder / MANIFEST)
    sync_folder(folder)
    return len(manifest) + sum(map(len, contents.values()))


def read_facts(folder: Path) -> dict[str, Any]:
    """Return a checkpoint's facts; only the manifest is read and checked.

    Raises:
        CheckpointError: if the manifest is missing, altered or of another format.
    """
    facts: dict[str, Any] = _manifest(folder)["facts"]
    return facts


def read(folder: Path) -> Saved:
    """Return what a checkpoint holds; every byte of it was checked.

    Raises:
        CheckpointError: if a file is missing, altered (a pickle in its place, too) or not ours.
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
    """Make a file that is on the disk when this returns.

    Raises:
        OSError: if it cannot be written; unlike that of `os.write`, the error names the file.
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
    """Wait until the names in a folder are on the disk, on systems that can sync a folder."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot do it for folders, and say so in this way.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sealed(manifest: dict[str, Any]) -> bytes:
    """Return the bytes of a manifest, with the checksum of all the rest in it."""
    return _to_json({**manifest, "checksum": _checksum(_to_json(manifest))})


def _manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest, checked, its facts as they were given."""
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
    """Return a file's bytes, which are those that were written."""
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
