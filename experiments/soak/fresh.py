"""Time the same work in a fresh process, as reference.

The speed of a machine varies by a half within minutes, and differently for each kind of work.  So a
process that slows down shows only in comparison with a fresh one that does the same work then.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

# Imported here, so that a fresh process is forked from one that has imported everything.
import torch
import torch._dynamo

import esper.run.run  # noqa: F401


@dataclass(frozen=True, slots=True)
class Span:
    """Time that work took, in milliseconds of the clock and of processor time."""

    wall_ms: float
    cpu_ms: float


def in_fresh_process(work: Callable[[], object]) -> Span:
    """Return the time that work takes in a fresh process, without imports.

    Args:
        work: a function that can be pickled.

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
