"""A store in one SQLite file, shared by runs and processes.

Write-ahead logging lets runs read while another writes; a writer waits up to 30 s for its turn.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import ClassVar

from esper.contracts.errors import DataError
from esper.strategy.entry import LedgerEntry

SCHEMA_VERSION = 1

_APPLICATION_ID = 0x45737072  # "Espr", at the place where SQLite files name their owner
_WAIT_S = 30.0
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
    """Keeps the ledger in the file `path`, which is made when it does not exist."""

    name: ClassVar[str] = "sqlite"

    path: str = "esper.db"

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("store.path must name a file, got ''")

    def open(self) -> "SQLiteStore":
        """Return the store; raises `DataError` if the file is not ours or cannot be written."""
        return SQLiteStore(Path(self.path).expanduser())


class SQLiteStore:
    """Entries in a table of `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Transactions are begun by hand, so that the first writer of a new file is alone.
            self._connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
        try:
            self._prepare()
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
        """Keep `entries`, all or none; one whose key is known already changes nothing."""
        statement = (
            f"INSERT INTO entries ({', '.join(_COLUMNS)}) "
            f"VALUES ({', '.join(':' + name for name in _COLUMNS)}) "
            "ON CONFLICT (run, event) DO NOTHING"
        )
        with self._told(), self._alone():
            self._connection.executemany(statement, [asdict(entry) for entry in entries])

    def close(self) -> None:
        """Close the file; closing twice does no harm."""
        self._connection.close()

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
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")

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
            return LedgerEntry(**values)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
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
