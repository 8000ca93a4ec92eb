"""A store in one SQLite file, shared by runs and processes.

Write-ahead logging lets runs read while another writes.  A writer waits for its turn: long at the
start and at the end of a run, shortly in between, where training would wait with it.
"""

import math
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import ClassVar

from esper.contracts.errors import DataError
from esper.contracts.event import Recovery
from esper.contracts.ledger import LedgerEntry
from esper.remote.outbox import Outbox
from esper.store.codec import to_entry

SCHEMA_VERSION = 1

_APPLICATION_ID = 0x45737072  # "Espr", at the place where SQLite files name their owner
_FIRST_WAIT_S = 30.0
_LAST_WAIT_S = 10.0
_COLUMNS = tuple(field.name for field in fields(LedgerEntry))
_BOOLEANS = ("fossilized", "success")
_TABLE = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL, event TEXT NOT NULL, slot TEXT NOT NULL, seed INTEGER NOT NULL,
    slot_kind TEXT NOT NULL, placement TEXT NOT NULL, blueprint TEXT NOT NULL,
    epoch INTEGER NOT NULL, reward REAL, accuracy_improvement REAL, loss_reduction REAL,
    latency_ms REAL, memory_mb REAL, fossilized INTEGER NOT NULL, success INTEGER NOT NULL,
    UNIQUE (run, event)
)
"""


@dataclass(frozen=True)
class SQLite:
    """Keeps the ledger in the file `path`, which is made when it does not exist.

    timeout_s: longest wait for the locks of others in the middle of a run.
    """

    name: ClassVar[str] = "sqlite"

    path: str = "esper.db"
    timeout_s: float = 2.0

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("store.path must name a file, got ''")
        if not 0 < self.timeout_s < math.inf:
            raise ValueError(f"store.timeout_s must be > 0, got {self.timeout_s}")

    def open(self) -> "SQLiteStore":
        """Return the store; raises `DataError` if the file is not ours or cannot be written."""
        return SQLiteStore(Path(self.path).expanduser(), self.timeout_s)


class SQLiteStore:
    """Entries in a table of `path`."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        self.path = path
        self._outbox: Outbox[LedgerEntry] = Outbox(self._insert, "store")
        self._is_closed = False
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Transactions are begun by hand, so that the first writer of a new file is alone.
            self._connection = sqlite3.connect(path, timeout=_FIRST_WAIT_S, isolation_level=None)
        try:
            self._prepare()
            self._wait_at_most(timeout_s)
        except DataError:
            self.close()
            raise

    def load(self) -> list[LedgerEntry]:
        """Return every entry, oldest first."""
        query = f"SELECT {', '.join(_COLUMNS)} FROM entries ORDER BY id"
        with self._told():
            rows = self._connection.execute(query).fetchall()
        return [self._entry(row) for row in rows]

    def write(self, entries: Sequence[LedgerEntry]) -> None:
        """Keep `entries`, now or later; one whose key is known already changes nothing.

        Raises:
            DataError: if the store is closed.
        """
        if self._is_closed:
            raise DataError(f"store.path '{self.path}' cannot be used: it is a closed database")
        self._outbox.send(entries)

    def drain(self) -> list[Recovery]:
        """Return the outages since the last call."""
        return self._outbox.drain()

    def close(self) -> None:
        """Write what waits and close the file; closing twice does no harm."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._outbox:
            self._wait_at_most(_LAST_WAIT_S)
            self._outbox.close()
        self._connection.close()

    def _insert(self, entries: Sequence[LedgerEntry]) -> None:
        """Write all entries or none."""
        statement = (
            f"INSERT INTO entries ({', '.join(_COLUMNS)}) "
            f"VALUES ({', '.join(':' + name for name in _COLUMNS)}) "
            "ON CONFLICT (run, event) DO NOTHING"
        )
        with self._told(), self._alone():
            self._connection.executemany(statement, [asdict(entry) for entry in entries])

    def _wait_at_most(self, seconds: float) -> None:
        with self._told():
            self._connection.execute(f"PRAGMA busy_timeout = {round(1000 * seconds)}")

    def _prepare(self) -> None:
        with self._told():
            # One transaction, so that nobody sees a file that is half made.
            with self._alone():
                if self._is_empty():
                    self._connection.execute(_TABLE)
                    self._connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                    self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                else:
                    self._check_owner()
            self._write_ahead()
            self._connection.execute("PRAGMA synchronous = NORMAL")

    def _write_ahead(self) -> None:
        """Turn write-ahead logging on, which stays with the file.

        SQLite does not wait where two that opened a new file at once are in each other's way.
        """
        end = time.monotonic() + _FIRST_WAIT_S
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                time.sleep(0.01)
            else:
                return

    def _is_empty(self) -> bool:
        return not self._number("SELECT count(*) FROM sqlite_master")

    def _check_owner(self) -> None:
        if self._number("PRAGMA application_id") != _APPLICATION_ID:
            raise DataError(f"store.path '{self.path}' is a database of another program")
        version = self._number("PRAGMA user_version")
        if version != SCHEMA_VERSION:
            raise DataError(
                f"store.path '{self.path}' has schema version {version}, "
                f"this Esper reads {SCHEMA_VERSION}"
            )

    def _number(self, query: str) -> int:
        return int(self._connection.execute(query).fetchone()[0])

    def _entry(self, row: tuple[object, ...]) -> LedgerEntry:
        values = dict(zip(_COLUMNS, row, strict=True))
        values.update({name: bool(values[name]) for name in _BOOLEANS})
        try:
            return to_entry(values)
        except ValueError as error:
            raise DataError(
                f"store.path '{self.path}' holds a broken entry "
                f"({values['run']}, {values['event']}): {error}"
            ) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        verdict = "ROLLBACK"
        try:
            yield
            verdict = "COMMIT"
        finally:
            # SQLite itself rolls back after some errors, such as a full disk.
            if self._connection.in_transaction:
                self._connection.execute(verdict)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise DataError(f"store.path '{self.path}' cannot be used: {error}") from error
