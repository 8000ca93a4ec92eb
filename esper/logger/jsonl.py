"""The run's own record: a line per epoch in `metrics.jsonl`, one per event in `events.jsonl`.

Lines are buffered and written when an epoch ends.  A failure to write stops the run.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from esper.contracts.event import Event
from esper.logger.serialise import event_record, now, to_line
from esper.rundir.layout import EVENTS, METRICS

_WAITING = 1_000


class Jsonl:
    """Appends to both files of a run directory; a resumed run keeps the lines that are there."""

    essential = True

    def __init__(self, run_dir: Path) -> None:
        self._metrics = run_dir / METRICS
        self._events = run_dir / EVENTS
        self._waiting: list[str] = []

    def start(self, run: dict[str, Any]) -> None:
        """Create both files if they are missing, and check that they can be written."""
        for path in (self._metrics, self._events):
            _append(path, ())

    def event(self, event: Event) -> None:
        """Buffer one event until the epoch ends, or until 1,000 are buffered."""
        self._waiting.append(to_line(event_record(event, now())))
        if len(self._waiting) >= _WAITING:
            self._write_events()

    def epoch(self, line: dict[str, Any]) -> None:
        """Write the buffered events, then the epoch's line."""
        self._write_events()
        _append(self._metrics, (to_line(line),))

    def close(self, summary: dict[str, Any] | None) -> None:
        """Write the buffered events."""
        self._write_events()

    def _write_events(self) -> None:
        if self._waiting:
            lines, self._waiting = self._waiting, []
            _append(self._events, lines)


def _append(path: Path, lines: Iterable[str]) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(lines)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
