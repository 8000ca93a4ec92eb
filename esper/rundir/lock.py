"""Lock the folder of a run while it trains, so that no second process writes there."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from esper.contracts.errors import EsperError


@contextmanager
def lock_run_dir(run_dir: Path) -> Iterator[None]:
    """Hold the lock of a folder; the operating system releases it if the process dies.

    Raises:
        EsperError: if another process holds the lock.
    """
    handle = os.open(run_dir, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EsperError(f"{run_dir} is being trained by another process") from error
        yield
    finally:
        os.close(handle)


def is_locked(run_dir: Path) -> bool:
    """Return whether a process holds the lock of a folder."""
    try:
        with lock_run_dir(run_dir):
            return False
    except EsperError:
        return True
