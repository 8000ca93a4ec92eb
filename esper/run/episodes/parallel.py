"""Run independent pieces of work in several processes of one machine, results in a fixed order."""

import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

import torch

from esper.contracts.errors import EsperError

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
        EsperError: if a process was killed.
        Exception: that of a piece of work that failed, with a note that names its arguments.
    """
    workers = Workers(processes)
    return workers.closing(workers.each(work, arguments))


class Workers(AbstractContextManager["Workers"]):
    """Processes that wait for work; they end when the `with` block does.

    Args:
        processes: >= 1; with one the work is done in this process.

    Raises:
        ValueError: if there is no process.
    """

    def __init__(self, processes: int) -> None:
        if processes < 1:
            raise ValueError(f"processes must be >= 1, got {processes}")
        context = get_context("spawn")
        self._pool = (
            ProcessPoolExecutor(processes, mp_context=context, initializer=_begin)
            if processes > 1
            else None
        )

    def each(
        self, work: Callable[..., Result], arguments: Iterable[tuple[Any, ...]]
    ) -> Iterator[Result]:
        """Yield `work(*each)` of the arguments, in their order, as `run_each` does."""
        return _here(work, arguments) if self._pool is None else self._elsewhere(work, arguments)

    def closing(self, results: Iterator[Result]) -> Iterator[Result]:
        """Yield results, and end the processes after the last one."""
        with self:
            yield from results

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _elsewhere(
        self, work: Callable[..., Result], arguments: Iterable[tuple[Any, ...]]
    ) -> Iterator[Result]:
        assert self._pool is not None, "there are other processes"
        packed = (pickle.dumps((work, each)) for each in arguments)
        futures = [self._pool.submit(_packed, each) for each in packed]
        try:
            for future in futures:
                yield pickle.loads(future.result())
        except BrokenProcessPool as error:
            raise EsperError(
                "one of the processes was killed while it worked, perhaps for want of memory: try "
                "fewer processes; a training is continued by --resume"
            ) from error
        finally:
            for future in futures:
                future.cancel()


def _here(work: Callable[..., Result], arguments: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
    for each in arguments:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            result = _named(work, each)
        finally:
            torch.set_num_threads(threads)
        yield result


def _packed(work: bytes) -> bytes:
    """Return the result of a piece of work as bytes.

    Torch would share the memory of tensors instead, and keep a file open for each while it lives.
    """
    function, arguments = pickle.loads(work)
    return pickle.dumps(_named(function, arguments))


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
