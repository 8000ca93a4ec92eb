"""A store that is what another run began with, and takes nothing: that run can be run again alone.

A run that starts from a store leaves what it read in `ledger_snapshot.json`.  With it a job of a
sweep is repeated to the last bit, whatever has come into the shared store since.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from esper.contracts.errors import DataError
from esper.contracts.event import Recovery
from esper.contracts.ledger import LedgerEntry
from esper.rundir.layout import SNAPSHOT
from esper.store.codec import to_entry


@dataclass(frozen=True)
class Snapshot:
    """Starts from the file `path`, or from the one that lies in the run directory `path`."""

    name: ClassVar[str] = "snapshot"

    path: str = SNAPSHOT

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("store.path must name a file or a run directory, got ''")

    def open(self) -> "SnapshotStore":
        """Return the store; raises `DataError` if there is no such file."""
        path = Path(self.path).expanduser()
        if path.is_dir():
            is_run = (path / ".hydra").is_dir()
            path /= SNAPSHOT
            if not path.exists() and not is_run:
                raise DataError(f"store.path '{self.path}' is not the folder of a run")
            if not path.exists():
                raise DataError(
                    f"store.path '{self.path}' holds no {SNAPSHOT}: that run began with an empty "
                    "store (repeat it with store=memory)"
                )
        return SnapshotStore(path)


class SnapshotStore:
    """The entries of a file, read and never written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> list[LedgerEntry]:
        """Return every entry, oldest first.

        Raises:
            DataError: if the file cannot be read, or holds something that is no entry.
        """
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise DataError(
                f"store.path '{self.path}' is missing; store=snapshot needs the folder of the run "
                "to repeat, store.path=runs/<name>/<time>"
            ) from error
        except (OSError, ValueError) as error:
            raise DataError(f"store.path '{self.path}' cannot be read: {error}") from error
        if not isinstance(found, list):
            raise DataError(f"store.path '{self.path}' must hold a list of entries")
        return [self._entry(number, values) for number, values in enumerate(found)]

    def write(self, entries: Sequence[LedgerEntry]) -> None:
        """Take nothing: a run that is repeated has nothing to add."""

    def drain(self) -> list[Recovery]:
        """Return nothing: nothing is written, so nothing can fail."""
        return []

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""

    def _entry(self, number: int, values: object) -> LedgerEntry:
        try:
            return to_entry(values)
        except ValueError as error:
            raise DataError(f"store.path '{self.path}' entry {number}: {error}") from error
