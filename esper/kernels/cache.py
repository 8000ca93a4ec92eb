"""Verdicts that are known already: the ones used last in memory, all of them on disk.

A cache that fails costs time, never a kernel: what cannot be read is found out again, and told.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from esper.contracts.event import Recovery
from esper.kernels.disk import CorruptEntryError, DiskCache, default_folder
from esper.kernels.key import Key, digest
from esper.kernels.options import Kernels
from esper.kernels.validate import ProbeResult


@dataclass(frozen=True, slots=True)
class CacheHit:
    """A verdict out of the cache.

    load_ms: time that the disk took, None where it was in memory.
    """

    verdict: ProbeResult
    load_ms: float | None


class VerdictCache:
    """Memory in front of the disk; may be used by several threads."""

    def __init__(self, options: Kernels) -> None:
        self.incidents: list[Recovery] = []
        self._num_entries = options.memory_entries
        self._memory: OrderedDict[str, ProbeResult] = OrderedDict()
        self._lock = Lock()
        self._disk: DiskCache | None = self._open(options)

    def get(self, key: Key) -> CacheHit | None:
        """Return what is known of a key, None for nothing."""
        name = digest(key)
        with self._lock:
            if name in self._memory:
                self._memory.move_to_end(name)
                return CacheHit(self._memory[name], None)
        began = time.perf_counter()
        verdict = self._read(key)
        if verdict is None:
            return None
        self._remember(name, verdict)
        return CacheHit(verdict, (time.perf_counter() - began) * 1e3)

    def put(self, key: Key, verdict: ProbeResult) -> None:
        """Keep a verdict."""
        self._remember(digest(key), verdict)
        if self._disk is not None:
            try:
                self._disk.write(key, verdict)
            except OSError as error:
                self._give_up(error)

    def distrust(self, key: Key, problem: str) -> None:
        """Forget a verdict that proved wrong, and tell of it."""
        with self._lock:
            self._memory.pop(digest(key), None)
        if self._disk is not None:
            try:
                self._disk.forget(key)
            except OSError as error:
                self._give_up(error)
        self._tell_of_entry(key, "WrongVerdict", problem)

    def _open(self, options: Kernels) -> DiskCache | None:
        max_bytes = int(options.disk_mb * 2**20)
        if max_bytes == 0:
            return None
        try:
            named = options.cache_dir and Path(options.cache_dir).expanduser()
            return DiskCache(named or default_folder(), max_bytes)
        except RuntimeError as error:  # there is no home
            self._give_up(error)
            return None

    def _read(self, key: Key) -> ProbeResult | None:
        if self._disk is None:
            return None
        try:
            return self._disk.read(key)
        except CorruptEntryError as error:
            self._tell_of_entry(key, "CorruptEntry", str(error))
        except OSError as error:
            self._give_up(error)
        return None

    def _remember(self, name: str, verdict: ProbeResult) -> None:
        with self._lock:
            self._memory[name] = verdict
            self._memory.move_to_end(name)
            while len(self._memory) > self._num_entries:
                self._memory.popitem(last=False)

    def _tell_of_entry(self, key: Key, error: str, problem: str) -> None:
        self.incidents.append(
            Recovery(
                where="cache",
                error=error,
                strategy="retry",
                recovered=True,
                message=f"the cached verdict on '{key['blueprint']}' is of no use: {problem}; "
                f"a probe is validated again",
                blueprint=str(key["blueprint"]),
            )
        )

    def _give_up(self, error: Exception) -> None:
        """Go on without the disk, and tell of it once."""
        self._disk = None
        self.incidents.append(
            Recovery(
                where="cache",
                error=type(error).__name__,
                strategy="degrade",
                recovered=True,
                message=f"the disk cannot keep verdicts on kernels: {error}; "
                f"they are kept in memory alone (kernels.cache_dir names another folder, "
                f"kernels.disk_mb=0 uses none)",
            )
        )
