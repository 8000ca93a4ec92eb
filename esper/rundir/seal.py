"""Seal a run's records: how long both JSONL files were at a checkpoint, and their checksums.

The files only grow, so that what a checkpoint sealed must still be their beginning on resume.  What
is sealed is on the disk, because a resumed run needs the lines before its checkpoint.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from esper.contracts.errors import CheckpointError
from esper.rundir.layout import EVENTS, METRICS

_CHUNK = 1 << 20


class RecordSeals:
    """Computes the seals of a run's records; each call reads only what was added since the last."""

    def __init__(self, run_dir: Path) -> None:
        self._sizes = {run_dir / name: 0 for name in (METRICS, EVENTS)}
        self._digests = {path: hashlib.sha256() for path in self._sizes}

    def take(self) -> dict[str, dict[str, Any]]:
        """Write both files to the disk; return `bytes` and `sha256` of each, by its name.

        Raises:
            OSError: if a file cannot be written to the disk.
        """
        for path, digest in self._digests.items():
            if path.exists():
                with path.open("r+b") as file:
                    os.fsync(file.fileno())
                    file.seek(self._sizes[path])
                    added = file.read()
                digest.update(added)
                self._sizes[path] += len(added)
        return {
            path.name: {"bytes": self._sizes[path], "sha256": digest.hexdigest()}
            for path, digest in self._digests.items()
        }


def check_seals(run_dir: Path, seals: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that the records of a run begin with what was sealed.

    Raises:
        CheckpointError: naming the file that was changed, cut or removed.
    """
    for name, seal in seals.items():
        path = run_dir / name
        found = path.stat().st_size if path.exists() else 0
        if found < seal["bytes"]:
            raise CheckpointError(
                f"{path} must hold the {seal['bytes']} bytes that it held at the checkpoint, holds "
                f"{found}: it was cut or removed"
            )
        if seal["bytes"] and _digest(path, seal["bytes"]) != seal["sha256"]:
            raise CheckpointError(f"{path} fails its checksum: it was changed since the checkpoint")


def _digest(path: Path, num_bytes: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while num_bytes and (chunk := file.read(min(num_bytes, _CHUNK))):
            digest.update(chunk)
            num_bytes -= len(chunk)
    return digest.hexdigest()
