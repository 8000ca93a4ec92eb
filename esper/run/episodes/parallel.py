"""Run independent pieces of work in several processes of one machine, results in a fixed order."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


def run_each(
    work: Callable[..., Result], arguments: Iterable[tuple[Any, ...]], processes: int = 1
) -> Iterator[Result]:
    """Yield `work(*each)` of the arguments, in their order, whatever the number of processes.

    Torch uses one thread in each process, so that the numbers do not depend on that of processes.
    With one process the work is done in this one.  Work that has not begun is dropped when the
    iterator is closed, and at SIGINT.

    Args:
        work: a function of a module, so that other processes can import it.
        arguments: those of each piece of work; they and the results can be pickled.
        processes: >= 1.

    Raises:
        ValueError: if there is no process.
        RuntimeError: if a process died.
        Exception: that of a piece of work that failed, with a note that names its arguments.
    """
    if processes < 1:
        raise ValueError(f"processes must be >= 1, got {processes}")
    return _here(work, arguments) if processes == 1 else _elsewhere(work, arguments, processes)


def _here(work: Callable[..., Result], arguments: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
    for each in arguments:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            result = _named(work, each)
        finally:
            torch.set_num_threads(threads)
        yield result


def _elsewhere(
    work: Callable[..., Result], arguments: Iterable[tuple[Any, ...]], processes: int
) -> Iterator[Result]:
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_begin)
    try:
        futures = [pool.submit(_named, work, each) for each in arguments]
        for future in futures:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _named(work: Callable[..., Result], arguments: tuple[Any, ...]) -> Result:
    """Return the result of a piece of work; an error gets a note that names its arguments."""
    with _Note(f"in {work.__name__}({', '.join(map(repr, arguments))})"):
        return work(*arguments)


class _Note(AbstractContextManager[None]):
    """Adds a note to an error of its block, which goes on its way."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            error.add_note(self.text)


def _begin() -> None:
    """Prepare a process for work; SIGINT ends it without a word, and so does its parent's end."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None, "this is a process of a pool"
    parent.join()
    os._exit(1)
