"""The run's own record: `metrics.jsonl`, a line an epoch, and `events.jsonl`, a line an event.

Lines wait in memory and are written when an epoch ends.  A failure to write stops the run.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from esper.contracts.errors import CheckpointError
from esper.contracts.event import Event
from esper.telemetry.serialise import event_record, now, to_line

METRICS = "metrics.jsonl"
EVENTS = "events.jsonl"
_WAITING = 1_000


class Jsonl:
    """Appends to both files of a run directory; what a resumed run finds there is kept."""

    essential = True

    def __init__(self, run_dir: Path) -> None:
        self._metrics = run_dir / METRICS
        self._events = run_dir / EVENTS
        self._waiting: list[str] = []

    def start(self, run: dict[str, Any]) -> None:
        """Make sure that both files are there and can be written."""
        for path in (self._metrics, self._events):
            _append(path, ())

    def event(self, event: Event) -> None:
        """Keep one event until the epoch ends, or until many wait."""
        self._waiting.append(to_line(event_record(event, now())))
        if len(self._waiting) >= _WAITING:
            self._write_events()

    def epoch(self, line: dict[str, Any]) -> None:
        """Write the events that wait, then the epoch's line."""
        self._write_events()
        _append(self._metrics, (to_line(line),))

    def close(self, summary: dict[str, Any] | None) -> None:
        """Write the events that wait."""
        self._write_events()

    def _write_events(self) -> None:
        if self._waiting:
            lines, self._waiting = self._waiting, []
            _append(self._events, lines)


def cut_back(run_dir: Path, epoch: int) -> None:
    """Drop every line after `epoch` from both files, and every line that is torn.

    A resumed run goes on from its checkpoint and writes those lines again.
    """
    for path in (run_dir / METRICS, run_dir / EVENTS):
        if path.exists():
            lines = path.read_bytes().splitlines(keepends=True)
            other = path.with_suffix(".cut")
            other.write_bytes(b"".join(line for line in lines if _is_up_to(epoch, line)))
            os.replace(other, path)


def finished_lines(run_dir: Path, epoch: int) -> list[dict[str, Any]]:
    """Return the lines of `metrics.jsonl` after `cut_back`: one for each epoch up to `epoch`.

    Raises:
        CheckpointError: if some are missing.
    """
    path = run_dir / METRICS
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = [json.loads(line) for line in text.splitlines()]
    if [line["epoch"] for line in lines] != list(range(1, epoch + 1)):
        raise CheckpointError(f"{path} must hold the lines of epochs 1 to {epoch}: some are gone")
    return lines


def _is_up_to(epoch: int, line: bytes) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n") and isinstance(record, dict) and record.get("epoch", 0) <= epoch


def _append(path: Path, lines: Iterable[str]) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(lines)
            file.flush()
            # A checkpoint is written next, and must not outlive the lines that it counts on.
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
