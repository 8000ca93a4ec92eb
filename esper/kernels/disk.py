"""Verdicts on disk: one JSON file each, with its key and a checksum, written whole or not at all.

Several processes may share the folder: a file is named after its key, appears by being renamed, and
one that has gone is only looked up in vain.
"""

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esper.kernels.key import Key, checksum, digest
from esper.kernels.validate import ProbeResult, from_plain, to_plain

_SUFFIX, _PART = ".json", ".part"
_SWEEP_EVERY = 64
"""The size of the folder is looked at once in so many writes."""

_LEFT_S = 3600.0
"""A file that is not finished after so long was left by a process that was killed."""


class CorruptEntryError(ValueError):
    """A file of the cache does not hold what it should; its text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the cache.

    key: None where the file is corrupt; `problem` then says why.
    """

    path: Path
    num_bytes: int
    changed_s: float
    key: Key | None
    problem: str | None = None


def default_folder() -> Path:
    """Return where verdicts are kept when no folder is named."""
    base = os.environ.get("XDG_CACHE_HOME", "").strip()
    return (Path(base) if base else Path.home() / ".cache") / "esper" / "kernels"


class DiskCache:
    """Verdicts in a folder that holds at most `max_bytes`; the ones not read for longest go first.

    Methods raise `OSError` where the disk fails.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self._num_writes = 0

    def read(self, key: Key) -> ProbeResult | None:
        """Return what is known of a key, None for nothing.

        Raises:
            CorruptEntryError: naming the file; the file is gone then.
        """
        path = self._path(key)
        try:
            verdict = _verdict(path, key)
        except FileNotFoundError:
            return None
        except CorruptEntryError:
            path.unlink(missing_ok=True)
            raise
        # So that what is read stays; where that is not to be, nothing is lost.
        with contextlib.suppress(OSError):
            os.utime(path)
        return verdict

    def write(self, key: Key, verdict: ProbeResult) -> None:
        """Keep a verdict, in the place of an earlier one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        body = {"key": key, "verdict": to_plain(verdict)}
        text = json.dumps({**body, "checksum": checksum(body)}, indent=1, allow_nan=False)
        handle, part = tempfile.mkstemp(suffix=_PART, dir=self.folder)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text + "\n")
            os.replace(part, self._path(key))
        except FileNotFoundError:
            return  # somebody has emptied the folder meanwhile
        except OSError:
            Path(part).unlink(missing_ok=True)
            raise
        if self._num_writes % _SWEEP_EVERY == 0:
            self._sweep()
        self._num_writes += 1

    def forget(self, key: Key) -> None:
        """Remove what is known of a key."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: Key) -> Path:
        return self.folder / f"{digest(key)}{_SUFFIX}"

    def _sweep(self) -> None:
        """Remove what is above the size, the oldest first, and what killed processes left."""
        found = sorted(_files(self.folder), key=lambda pair: pair[1].st_mtime, reverse=True)
        total, now_s = 0, time.time()
        for path, facts in found:
            if path.suffix == _PART:
                is_over = now_s - facts.st_mtime > _LEFT_S
            else:
                total += facts.st_size
                is_over = total > self.max_bytes
            if is_over:
                path.unlink(missing_ok=True)


def entries(folder: Path) -> list[Entry]:
    """Return every file of a cache, the ones used last first; none where there is no folder."""
    found = []
    for path, facts in _files(folder):
        try:
            key, problem = _named_key(path), None
        except (CorruptEntryError, OSError) as error:
            key, problem = None, str(error)
        found.append(Entry(path, facts.st_size, facts.st_mtime, key, problem))
    return sorted(found, key=lambda entry: entry.changed_s, reverse=True)


def clear(folder: Path) -> int:
    """Remove every file of a cache and return how many there were; other files stay."""
    paths = [path for path, _ in _files(folder)]
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the cache's own files; one that another process removes meanwhile is left out."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.suffix in (_SUFFIX, _PART):
            with contextlib.suppress(FileNotFoundError):
                yield path, path.stat()


def _named_key(path: Path) -> Key:
    if path.suffix == _PART:
        raise CorruptEntryError("it was never finished")
    key: Key = _body(path)["key"]
    if digest(key) != path.stem:
        raise CorruptEntryError("it is named after another key")
    return key


def _verdict(path: Path, key: Key) -> ProbeResult:
    body = _body(path)
    if body["key"] != key:
        raise CorruptEntryError("it holds another key")
    try:
        return from_plain(body["verdict"])
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptEntryError(f"it holds no verdict: {error!r}") from error


def _body(path: Path) -> dict[str, Any]:
    """Return what a file holds.

    Raises:
        CorruptEntryError: if it is no JSON, or not what was written.
    """
    try:
        body = json.loads(path.read_bytes(), parse_constant=_refuse)
    except (RecursionError, ValueError) as error:
        raise CorruptEntryError(f"it is no JSON: {error}") from error
    if not isinstance(body, dict) or set(body) != {"key", "verdict", "checksum"}:
        raise CorruptEntryError("it has not the fields of an entry")
    if checksum({"key": body["key"], "verdict": body["verdict"]}) != body["checksum"]:
        raise CorruptEntryError("its checksum differs")
    if not isinstance(body["key"], dict):
        raise CorruptEntryError("its key is no mapping")
    return body


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number")
