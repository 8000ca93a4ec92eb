"""The contracts of a sink, which receives a run's reports, and of the option that builds it."""

from pathlib import Path
from typing import Any, Protocol

from esper.contracts.event import Event


class Sink(Protocol):
    """Receives a run's reports.

    A sink may have `drain() -> list[Recovery]`; the bus publishes its result after each epoch.
    """

    def start(self, run: dict[str, Any]) -> None:
        """Take the run's facts (config, folder, names) before the first epoch."""

    def event(self, event: Event) -> None:
        """Take one event."""

    def epoch(self, line: dict[str, Any]) -> None:
        """Take one epoch's line of `metrics.jsonl`."""

    def close(self, summary: dict[str, Any] | None) -> None:
        """Take the summary, None if the run failed, and release files and connections."""


class Logger(Protocol):
    """An option of the config group `logger`."""

    def build(self, run_dir: Path) -> list[Sink]:
        """Return the sinks of the run in `run_dir`, maybe none.

        Raises:
            ConfigError: if a library or a login is missing.
        """
