"""The real command line in this process, with one fault waiting in it.

    python -m experiments.chaos.child '{"region": "cull", "entry": 0, "calls": 40}' train

`entry` and `calls` say when (see `regions.py`), `fault` what: `kill`, `interrupt` and `terminate`
are signals to the process itself, `torn` writes half of what the next `os.write` or the next lines
of a JSONL file should have been, and kills then; `fill` leaves no room in the run's folder.
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
    """What happens to a process, and when."""

    region: str
    entry: int
    calls: int
    fault: str = "kill"


def disturbed(arguments: Sequence[str], fault: Fault | None, place: Path | None = None) -> int:
    """Run a command of Esper in this process with a fault in it; return its exit code.

    Args:
        arguments: of the command line.
        fault: none leaves the run undisturbed.
        place: a file that will hold where the fault struck.
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
    """Run a command of Esper in this process; return the exit code that its own would have."""
    try:
        return execute(list(arguments))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)


def run_dir_of(arguments: Sequence[str]) -> Path:
    """Return the folder of the run that a command names.

    Raises:
        ValueError: if it names none: only a folder that is known can be full.
    """
    for before, argument in pairwise(("", *arguments)):
        if before == "--resume":
            return Path(argument)
        if argument.startswith("hydra.run.dir="):
            return Path(argument.removeprefix("hydra.run.dir="))
    raise ValueError("a full disk needs a command with hydra.run.dir=... or --resume ...")


def where(frame: FrameType | None) -> str:
    """Return the innermost function of Esper that is running, and its line; "" without a frame."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("esper."):
            return f"{module}.{frame.f_code.co_qualname}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _tear() -> None:
    """Let the next write be the last, and half of it reach the file."""
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
