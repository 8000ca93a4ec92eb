"""Hold a run's folder while the run is trained: two processes in one folder would ruin it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from esper.contracts.errors import EsperError


@contextmanager
def lock_run_dir(run_dir: Path) -> Iterator[None]:
    """Keep other processes from training in a folder; however this one ends, it lets go.

    Raises:
        EsperError: if another process holds it.
    """
    handle = os.open(run_dir, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise EsperError(f"{run_dir} is being trained by another process") from error
    try:
        yield
    finally:
        os.close(handle)
