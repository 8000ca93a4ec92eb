"""Time the same work in a fresh process, in which nothing has piled up.

The machine's own speed swings by a half within minutes, and not alike for all kinds of work, so a
process that grows slower shows only beside a fresh one that does the same at the same time.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

# What work imports late is here early: a fresh process is forked from one that knows all of it.
import torch
import torch._dynamo

import esper.run.run  # noqa: F401


@dataclass(frozen=True, slots=True)
class Span:
    """What work took, in milliseconds of the clock and of its process's processors."""

    wall_ms: float
    cpu_ms: float


def in_fresh_process(work: Callable[[], object]) -> Span:
    """Return what work takes in a process of its own, its imports not counted.

    Args:
        work: can be pickled.

    Raises:
        RuntimeError: if it failed.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    receiving, sending = context.Pipe(duplex=False)
    with receiving:
        process = context.Process(target=_work, args=(sending, work))
        process.start()
        sending.close()
        try:
            span: Span = receiving.recv()
        except EOFError as error:
            raise RuntimeError("the same work failed in a fresh process") from error
        process.join()
    process.close()
    return span


def _work(sending: Connection, work: Callable[[], object]) -> None:
    torch.set_num_threads(1)
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    sending.send(Span((time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3))
