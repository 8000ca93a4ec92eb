"""A store in one SQLite file, shared by runs and processes.

Write-ahead logging lets runs read while another one writes.  A writer waits for the lock at most
30 s at the start of a run, 10 s at its end, and `timeout_s` in between, which blocks training.
"""

import json
import math
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from esper.contracts.checks import require
from esper.contracts.errors import DataError
from esper.contracts.event import Recovery
from esper.contracts.ledger import LedgerEntry
from esper.remote.outbox import Outbox
from esper.store.codec import to_entry
from esper.store.prior import SHIPPED, check_prior

SCHEMA_VERSION = 5

_APPLICATION_ID = 0x45737072  # "Espr", in the header field for the program that owns the file
_FIRST_WAIT_S = 30.0
_LAST_WAIT_S = 10.0
_FILE_WAIT_S = 2.0
_COLUMNS = tuple(field.name for field in fields(LedgerEntry))
_BOOLEANS = ("fossilized", "success")
_LISTS = ("context", "features")
_TABLE = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL, event TEXT NOT NULL, slot TEXT NOT NULL, seed INTEGER NOT NULL,
    slot_kind TEXT NOT NULL, placement TEXT NOT NULL, blueprint TEXT NOT NULL,
    task_family TEXT NOT NULL, reward_model TEXT NOT NULL, epoch INTEGER NOT NULL,
    reward REAL, weight REAL NOT NULL, accuracy_improvement REAL, loss_reduction REAL,
    latency_ms REAL, memory_mb REAL,
    fossilized INTEGER NOT NULL, success INTEGER NOT NULL, context TEXT NOT NULL,
    shown REAL NOT NULL, features TEXT NOT NULL, reading TEXT NOT NULL,
    UNIQUE (run, event)
)
"""
_INSERT = (
    f"INSERT INTO entries ({', '.join(_COLUMNS)}) VALUES (:{', :'.join(_COLUMNS)}) "
    "ON CONFLICT (run, event) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name not in ("run", "event"))
)


Key = tuple[str, str]
"""Run and event of an entry."""


@dataclass(frozen=True)
class SQLite:
    """Keeps the ledger in the file `path`, which is created if it does not exist.

    timeout_s: longest wait for another process's lock in the middle of a run.
    prior: as in `StoreOption`.
    """

    path: str = "esper.db"
    timeout_s: float = 2.0
    prior: str = SHIPPED

    def __post_init__(self) -> None:
        require(self.path != "", "store.path", "a file", "''")
        require(0 < self.timeout_s < math.inf, "store.timeout_s", "> 0", self.timeout_s)
        check_prior(self.prior)

    def open(self) -> "SQLiteStore":
        """Return the store; raise DataError if its file is another program's or not writable."""
        return SQLiteStore(Path(self.path).expanduser(), self.timeout_s)


def read_file(path: Path) -> list[LedgerEntry]:
    """Return every entry of a file that exists, oldest first; nothing is written to it.

    Raises:
        DataError: if it is no ledger or cannot be read.
    """
    with _opened(path, "ro") as connection:
        return _load(connection, f"ledger {path}")


def change_file(
    path: Path, *, added: Sequence[LedgerEntry] = (), removed: Iterable[Key] = ()
) -> None:
    """Add and remove entries of a file that exists, all or none; known keys are not added.

    Raises:
        DataError: if it is no ledger, cannot be written, or is locked for longer than 2 s.
    """
    with _opened(path, "rw") as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_INSERT, [_row(entry) for entry in added])
        connection.executemany("DELETE FROM entries WHERE run = ? AND event = ?", removed)


class SQLiteStore:
    """Entries in a table of `path`."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        self.path, self._where = path, f"store.path '{path}'"
        self._outbox: Outbox[LedgerEntry] = Outbox(self._insert, "store")
        self._is_closed = False
        with _errors(self._where):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Autocommit: `_prepare` and `_insert` begin their own transactions.
            self._connection = sqlite3.connect(path, timeout=_FIRST_WAIT_S, isolation_level=None)
            try:
                self._prepare()
            except (DataError, sqlite3.Error):
                self._connection.close()
                raise
            self._wait_at_most(timeout_s)

    def load(self) -> list[LedgerEntry]:
        """Return every entry, oldest first."""
        with _errors(self._where):
            return _load(self._connection, self._where)

    def write(self, entries: Sequence[LedgerEntry]) -> None:
        """Add or replace `entries`, now or later; raise DataError if closed."""
        if self._is_closed:
            raise DataError(f"{self._where} cannot be used: it is a closed database")
        self._outbox.send(entries)

    def drain(self) -> list[Recovery]:
        """Return the outages since the last call."""
        return self._outbox.drain()

    def close(self) -> None:
        """Write buffered entries and close the file; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._outbox:
            self._wait_at_most(_LAST_WAIT_S)
            self._outbox.close()
        self._connection.close()

    def _insert(self, entries: Sequence[LedgerEntry]) -> None:
        """Write all entries or none."""
        with _errors(self._where), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(_INSERT, [_row(entry) for entry in entries])

    def _wait_at_most(self, seconds: float) -> None:
        self._connection.execute(f"PRAGMA busy_timeout = {round(1000 * seconds)}")

    def _prepare(self) -> None:
        # One transaction, so that no other process sees a half-made file.
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            if _number(self._connection, "SELECT count(*) FROM sqlite_master"):
                _check_owner(self._connection, self._where)
            else:
                self._connection.execute(_TABLE)
                self._connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._write_ahead()
        self._connection.execute("PRAGMA synchronous = NORMAL")

    def _write_ahead(self) -> None:
        """Turn on write-ahead logging in the file.

        Retries, because SQLite's time limit does not apply when two processes open a new file.
        """
        end = time.monotonic() + _FIRST_WAIT_S
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                time.sleep(0.01)


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """Open a file that exists, `ro` or `rw`, check its owner, and close it afterwards."""
    where = f"ledger {path}"
    with _errors(where):
        address = f"{path.resolve().as_uri()}?mode={mode}"
        if mode == "ro" and not os.access(path.resolve().parent, os.W_OK):
            # SQLite would put an index of the log beside the file.
            address += "&immutable=1"
        with closing(
            sqlite3.connect(address, timeout=_FILE_WAIT_S, isolation_level=None, uri=True)
        ) as connection:
            _check_owner(connection, where)
            yield connection


def _load(connection: sqlite3.Connection, where: str) -> list[LedgerEntry]:
    query = f"SELECT {', '.join(_COLUMNS)} FROM entries ORDER BY id"
    return [_entry(row, where) for row in connection.execute(query).fetchall()]


def _check_owner(connection: sqlite3.Connection, where: str) -> None:
    if _number(connection, "PRAGMA application_id") != _APPLICATION_ID:
        raise DataError(f"{where} is a database of another program")
    version = _number(connection, "PRAGMA user_version")
    if version != SCHEMA_VERSION:
        raise DataError(f"{where} has schema version {version}, this Esper reads {SCHEMA_VERSION}")


def _number(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])


def _entry(row: tuple[object, ...], where: str) -> LedgerEntry:
    values = dict(zip(_COLUMNS, row, strict=True))
    values |= {name: bool(values[name]) for name in _BOOLEANS}
    where = f"{where} holds a broken entry ({values['run']}, {values['event']})"
    for name in _LISTS:
        try:
            values[name] = json.loads(str(values[name]))
        except ValueError as error:
            raise DataError(f"{where}: {name} must be JSON: {error}") from error
    return to_entry(values, where)


def _row(entry: LedgerEntry) -> dict[str, object]:
    return {**asdict(entry), **{name: json.dumps(getattr(entry, name)) for name in _LISTS}}


@contextmanager
def _errors(where: str) -> Iterator[None]:
    """Raise errors of SQLite and the file system as DataError: `<where> cannot be used: ...`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise DataError(f"{where} cannot be used: {error}") from error
