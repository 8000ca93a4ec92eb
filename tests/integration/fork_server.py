"""Run commands of Esper in forked processes, so that torch is imported only once for all.

Reads from its input a JSON list of commands, each with `name`, `cwd`, `arguments` and `env`; writes
to its output a JSON dict of exit codes.  The output of a command goes to the files `<cwd>.out` and
`<cwd>.err`.  All processes have the same hash seed; tests of other hash seeds need separate
interpreters.
"""

import atexit
import gc
import json
import os
import runpy
import sys
from typing import Any, NoReturn

import sklearn.datasets  # noqa: F401
import torch
import torch._dynamo

import esper.app.train
import esper.run.run  # noqa: F401

WORKERS = 2


def main() -> None:
    """Run every command, two at a time."""
    torch.set_num_threads(1)
    waiting: list[dict[str, Any]] = json.load(sys.stdin)
    gc.freeze()  # keeps memory pages shared with the children
    running: dict[int, str] = {}
    codes: dict[str, int] = {}
    while waiting or running:
        if waiting and len(running) < WORKERS:
            command = waiting.pop(0)
            child = os.fork()
            if child == 0:
                become(command)
            running[child] = command["name"]
        else:
            ended, status = os.wait()
            codes[running.pop(ended)] = os.waitstatus_to_exitcode(status)
    json.dump(codes, sys.stdout)


def become(command: dict[str, Any]) -> NoReturn:
    """Act as `python -m esper` with these arguments, but exit without cleaning up the interpreter.

    Cleaning up all imported modules would take longer than most commands do.
    """
    cwd = command["cwd"]
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(command["env"])
    for target, name in ((0, os.devnull), (1, f"{cwd}.out"), (2, f"{cwd}.err")):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT, 0o666), target)
    sys.path[0] = cwd
    sys.argv[1:] = command["arguments"]
    code: Any = 1
    try:
        runpy.run_module("esper", run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        code = stop.code
    except BaseException:  # noqa: BLE001 - a child must not continue as its parent
        sys.excepthook(*sys.exc_info())
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code or 0))


if __name__ == "__main__":
    main()
