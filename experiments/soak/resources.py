"""Measure work and its process: time, memory, objects, files and threads.

The numbers come from `/proc`, so it needs Linux.
"""

import gc
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from experiments.soak.fresh import Span

T = TypeVar("T")
PATIENCE_S = 2.0
PROCESS = Path("/proc/self")
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Measurements after a unit of work and a garbage collection.

    memory_mb: resident set size.
    objects: objects that the garbage collector tracks; a leak in Python shows here first.
    files, threads: open file descriptors and threads of the operating system.
    wall_ms, cpu_ms: time of an epoch or a step.
    wall_ratio, cpu_ratio: time of the work over that of the reference work; None without one.
    """

    memory_mb: float
    objects: int
    files: int
    threads: int
    wall_ms: float
    cpu_ms: float
    wall_ratio: float | None
    cpu_ratio: float | None


def measured(
    work: Callable[[], T], parts: int, beside: Callable[[], Span] | None = None
) -> tuple[T, Sample]:
    """Do a unit of work; return its result and the measurements after it.

    Args:
        work: the work to measure.
        parts: number of its epochs or steps.
        beside: reference work, done right before.
    """
    usual = None if beside is None else beside()
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    _let_end()
    gc.collect()
    pages = int((PROCESS / "statm").read_text(encoding="ascii").split()[1])
    return result, Sample(
        memory_mb=pages * PAGE_MB,
        objects=len(gc.get_objects()),
        files=len(os.listdir(PROCESS / "fd")),
        threads=len(os.listdir(PROCESS / "task")),
        wall_ms=wall / parts * 1e3,
        cpu_ms=cpu / parts * 1e3,
        wall_ratio=None if usual is None else wall * 1e3 / usual.wall_ms,
        cpu_ratio=None if usual is None else cpu * 1e3 / usual.cpu_ms,
    )


def _let_end() -> None:
    """Wait for threads that end with their work, such as the one that prepares kernels."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(PATIENCE_S)
