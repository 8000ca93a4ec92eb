"""Ledgers as JSON files: the snapshot in the folder of a run, and exports of `esper ledger merge`.

A file holds `{"entries": [...]}`, oldest first; a snapshot also has its `moment`.  A plain list of
entries is read too.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from esper.contracts.errors import DataError
from esper.contracts.ledger import LedgerEntry
from esper.rundir.layout import write_json
from esper.store.codec import to_entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a store was read: at the start of a run.

    run: key of that run.
    launcher: what ran the jobs of its sweep: `basic` one after another, others side by side; None
        for a run of its own.
    taken_s: time of the clock, in seconds since 1970; steers nothing.
    """

    run: str
    launcher: str | None
    taken_s: float


@dataclass(frozen=True, slots=True)
class Export:
    """The content of a file: entries, oldest first, and for a snapshot its moment."""

    entries: list[LedgerEntry]
    moment: Moment | None = None


def read_export(path: Path, where: str) -> Export:
    """Return the content of the file `path`.

    Raises:
        FileNotFoundError: if it does not exist.
        DataError: `<where> <problem>` if it cannot be read or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error}") from error
    except ValueError as error:
        words = "cannot be read as a ledger in JSON (store=sqlite reads databases)"
        raise DataError(f"{where} {words}: {error}") from error
    items = value.get("entries") if isinstance(value, dict) else value
    if not isinstance(items, list):
        raise DataError(f"{where} must hold a list of entries")
    entries = [to_entry(item, f"{where} entry {number}") for number, item in enumerate(items)]
    told = value.get("moment") if isinstance(value, dict) else None
    return Export(entries, None if told is None else _moment(told, where))


def write_export(path: Path, export: Export) -> None:
    """Write the file `path` atomically; raise OSError if that fails."""
    value: dict[str, Any] = {"entries": [asdict(entry) for entry in export.entries]}
    head = {} if export.moment is None else {"moment": asdict(export.moment)}
    write_json(path, head | value)


def num_runs(entries: Sequence[LedgerEntry]) -> int:
    """Return the number of runs that wrote the entries."""
    return len({entry.run for entry in entries})


def _moment(told: Any, where: str) -> Moment:
    try:
        moment = Moment(**told)
    except TypeError as error:
        raise DataError(f"{where}: its moment cannot be read: {error}") from error
    is_time = isinstance(moment.taken_s, int | float) and math.isfinite(moment.taken_s)
    if not (isinstance(moment.run, str) and isinstance(moment.launcher, str | None) and is_time):
        raise DataError(f"{where}: its moment cannot be read: {told!r:.80}")
    return moment
