"""Commands of Esper in processes of their own, without paying for the import of torch each time.

A process that has imported everything and computed nothing forks; the child runs the real command
line, with faults installed, and is killed or ends.  Torch has one thread, so nothing is lost in a
fork.  A fork has its parent's hash seed, so some commands are run by a fresh interpreter instead.
"""

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

# What children need is imported once, by their parent: the optimizers alone pull in a second of it.
import torch._dynamo  # noqa: F401

import esper.app.train
import esper.run.run  # noqa: F401

TIMEOUT_S = 300.0
POLL_S = 0.005
BROKEN = 70
"""Exit code of a child in which the harness itself failed."""


def forked(work: Callable[[], int], log: Path, timeout_s: float = TIMEOUT_S) -> int:
    """Do work in a child; return its exit code, or minus the signal that killed it.

    Args:
        work: returns an exit code.
        log: what the child prints is appended to it.
        timeout_s: a child that takes longer is killed.

    Raises:
        TimeoutError: if it took longer.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _be_child(work, log)
    ends = time.monotonic() + timeout_s
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > ends:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise TimeoutError(f"no end after {timeout_s} s; see {log}")
        time.sleep(POLL_S)


def _be_child(work: Callable[[], int], log: Path) -> None:
    """Work and leave, whatever happens; nothing of the parent is closed or flushed."""
    code = BROKEN
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, nothing), (1, output), (2, output)):
            os.dup2(source, target)
        code = work()
    except BaseException:  # noqa: BLE001 - a child must not continue as its parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def fresh(arguments: Sequence[str], log: Path, timeout_s: float = TIMEOUT_S) -> int:
    """Run a command of Esper in an interpreter of its own; return its exit code."""
    with log.open("ab") as output:
        return subprocess.run(
            [sys.executable, "-m", "esper", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=timeout_s,
            check=False,
        ).returncode
