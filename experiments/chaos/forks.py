"""Run commands of Esper in child processes, without importing torch in each.

A process that has imported everything, but computed nothing, forks.  The child runs the real
command line with faults installed.  Torch has one thread, so a fork loses none.  A fork has the
hash seed of its parent, so some commands are run by a fresh interpreter instead.
"""

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

# Imported here once for all children; the optimizers alone take a second.
import torch._dynamo  # noqa: F401

import esper.app.train
import esper.run.run  # noqa: F401

TIMEOUT_S = 300.0
POLL_S = 0.005
BROKEN = 70
"""Exit code of a child in which the harness itself failed."""


def forked(work: Callable[[], int], log: Path, timeout_s: float = TIMEOUT_S) -> int:
    """Do work in a child process; return its exit code, or minus the signal that killed it.

    Args:
        work: returns an exit code.
        log: file to which the output of the child is appended.
        timeout_s: time after which the child is killed.

    Raises:
        TimeoutError: if the child was killed for its time.
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
    """Work and exit in any case, without closing or flushing anything of the parent."""
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
    """Run a command of Esper in a fresh interpreter; return its exit code."""
    with log.open("ab") as output:
        return subprocess.run(
            [sys.executable, "-m", "esper", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=timeout_s,
            check=False,
        ).returncode
