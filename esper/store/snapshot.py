"""A read-only store: the entries that another run started from, to repeat that run.

A run that starts from a store saves the entries that it read in `ledger_snapshot.json`.  This file
repeats a job of a sweep bit for bit, even if the shared store has changed since.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from esper.contracts.checks import require
from esper.contracts.errors import DataError
from esper.contracts.event import Recovery
from esper.contracts.ledger import LedgerEntry
from esper.rundir.layout import SNAPSHOT
from esper.store.export import Export, read_export
from esper.store.prior import SHIPPED, check_prior


@dataclass(frozen=True)
class Snapshot:
    """Starts from the file `path`, or from the one in the run directory `path`.

    prior: as in `StoreOption`; the run to repeat had the same.
    """

    path: str = SNAPSHOT
    prior: str = SHIPPED

    def __post_init__(self) -> None:
        require(self.path != "", "store.path", "a file or a run directory", "''")
        check_prior(self.prior)

    def open(self) -> "SnapshotStore":
        """Return the store; raise DataError if the folder `path` has no snapshot."""
        path = Path(self.path).expanduser()
        if not path.is_dir():
            return SnapshotStore(path)
        if (path / SNAPSHOT).exists():
            return SnapshotStore(path / SNAPSHOT)
        if not (path / ".hydra").is_dir():
            raise DataError(f"store.path '{self.path}' is not the folder of a run")
        raise DataError(
            f"store.path '{self.path}' holds no {SNAPSHOT}: that run had no store "
            "(repeat it with store=memory)"
        )


class SnapshotStore:
    """The entries of the file `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> list[LedgerEntry]:
        """Return every entry, oldest first; raises as `Store.load`."""
        return self.export().entries

    def export(self) -> Export:
        """Return the entries and the moment of which they are; raises as `load`."""
        key = f"store.path '{self.path}'"
        try:
            return read_export(self.path, key)
        except FileNotFoundError as error:
            raise DataError(
                f"{key} is missing; store=snapshot needs the folder of the run "
                "to repeat, store.path=runs/<name>/<time>"
            ) from error

    def write(self, entries: Sequence[LedgerEntry]) -> None:
        """Do nothing: the file does not change."""

    def drain(self) -> list[Recovery]:
        """Return nothing: no write can fail."""
        return []

    def close(self) -> None:
        """Do nothing."""
