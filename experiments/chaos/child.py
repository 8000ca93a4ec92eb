"""Run the real command line in this process, with one fault at a chosen moment.

    python -m experiments.chaos.child '{"region": "cull", "entry": 0, "calls": 40}' train

`entry` and `calls` are the moment (see `regions.py`).  `fault` is one of: `kill`, `interrupt` and
`terminate`, which send a signal to the process; `torn`, which writes only half of the next
`os.write` or of the next lines of a JSONL file, and then kills; `fill`, which fills the disk of the
run's folder.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

from esper.cli import execute
from experiments.chaos.full_disk import fill
from experiments.chaos.regions import Trigger, watch

SIGNALS = {"kill": signal.SIGKILL, "interrupt": signal.SIGINT, "terminate": signal.SIGTERM}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault and its moment."""

    region: str
    entry: int
    calls: int
    fault: str = "kill"


def disturbed(arguments: Sequence[str], fault: Fault | None, place: Path | None = None) -> int:
    """Run a command of Esper in this process with a fault in it; return its exit code.

    Args:
        arguments: of the command line.
        fault: None leaves the run undisturbed.
        place: a file for the place in the code where the fault struck.
    """
    if fault is not None:

        def strike(frame: FrameType | None) -> None:
            if place is not None:
                place.write_text(json.dumps({**asdict(fault), "in": where(frame)}))
            if fault.fault == "torn":
                _tear()
            elif fault.fault == "fill":
                fill(run_dir_of(arguments))
            else:
                os.kill(os.getpid(), SIGNALS[fault.fault])

        watch(Trigger(fault.region, fault.entry, fault.calls, strike).around)
    return run_command(arguments)


def run_command(arguments: Sequence[str]) -> int:
    """Run a command of Esper in this process; return its exit code."""
    try:
        return execute(list(arguments))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)


def run_dir_of(arguments: Sequence[str]) -> Path:
    """Return the folder of the run that a command names.

    Raises:
        ValueError: if it names none.
    """
    for before, argument in pairwise(("", *arguments)):
        if before == "--resume":
            return Path(argument)
        if argument.startswith("hydra.run.dir="):
            return Path(argument.removeprefix("hydra.run.dir="))
    raise ValueError("a full disk needs a command with hydra.run.dir=... or --resume ...")


def where(frame: FrameType | None) -> str:
    """Return the innermost running function of Esper and its line; "" if there is none."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("esper."):
            return f"{module}.{frame.f_code.co_qualname}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _tear() -> None:
    """Write only half of the next write, and kill the process then."""
    from esper.logger import jsonl

    whole: Callable[[int, bytes], int] = os.write

    def half(descriptor: int, content: Any) -> int:
        whole(descriptor, bytes(content)[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")

    def torn(path: Path, lines: Iterable[str]) -> None:
        text = "".join(lines)
        with path.open("a", encoding="utf-8") as file:
            file.write(text[: len(text) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(os, "write", half)  # noqa: B010 - a plain assignment would be refused by mypy
    setattr(jsonl, "_append", torn)  # noqa: B010


if __name__ == "__main__":
    sys.exit(disturbed(sys.argv[2:], Fault(**json.loads(sys.argv[1]))))
