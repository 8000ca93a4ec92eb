"""The store of a run, which is read once: what was read is kept in the run's folder.

A run that is stopped before its first checkpoint and resumed starts from its own snapshot, whatever
other runs have written since.  Later checkpoints hold the ledger itself.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from esper.contracts.event import Recovery
from esper.contracts.ledger import LedgerEntry
from esper.rundir.layout import SNAPSHOT
from esper.store.base import Store, StoreOption
from esper.store.export import Export, Moment, read_export, write_export
from esper.store.memory import Memory
from esper.store.snapshot import SnapshotStore


@dataclass(frozen=True)
class ReadOnce:
    """Opens the store of `option` for the run in `run_dir`.

    run: key of the run in the store.
    launcher: as in `Moment`.
    is_saved: whether the run has a checkpoint, which then holds its ledger.
    """

    option: StoreOption
    run_dir: Path
    run: str
    launcher: str | None = None
    is_saved: bool = False

    @property
    def prior(self) -> str:
        """The prior that the option names."""
        return self.option.prior

    def open(self) -> "ReadOnceStore":
        """Return the store; raises as the option's `open`."""
        return ReadOnceStore(self, self.option.open())


class ReadOnceStore:
    """Reads the snapshot in the run's folder, and writes to the store behind it."""

    def __init__(self, option: ReadOnce, store: Store) -> None:
        self._option, self._store = option, store

    def load(self) -> list[LedgerEntry]:
        """Return the run's snapshot; without one read the store, and save what is there.

        A run never reads its own entries.  `store=memory` leaves no snapshot.

        Raises:
            DataError: if the store or the snapshot cannot be read.
            OSError: if the snapshot cannot be written.
        """
        option = self._option
        path = option.run_dir / SNAPSHOT
        if path.exists():
            return read_export(path, str(path)).entries
        if option.is_saved or isinstance(option.option, Memory):
            return []
        read = self._read()
        export = Export([each for each in read.entries if each.run != option.run], read.moment)
        write_export(path, export)
        return export.entries

    def write(self, entries: Sequence[LedgerEntry]) -> None:
        """Add `entries`, as the store does."""
        self._store.write(entries)

    def drain(self) -> list[Recovery]:
        """Return the outages since the last call."""
        return self._store.drain()

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _read(self) -> Export:
        """Read the store now; a snapshot of another run keeps its moment."""
        if isinstance(self._store, SnapshotStore):
            export = self._store.export()
            if export.moment is not None:
                return export
        option = self._option
        moment = Moment(run=option.run, launcher=option.launcher, taken_s=time.time())
        return Export(self._store.load(), moment)
