"""Lock a run's folder while the run trains: two processes in one folder would ruin it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from esper.contracts.errors import EsperError


@contextmanager
def lock_run_dir(run_dir: Path) -> Iterator[None]:
    """Keep other processes from training in a folder; the system ends the lock of a dead process.

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
    """Return whether a process trains in a folder."""
    try:
        with lock_run_dir(run_dir):
            return False
    except EsperError:
        return True
