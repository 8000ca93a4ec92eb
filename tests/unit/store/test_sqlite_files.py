"""Files of the SQLite store that are listed and changed while no run has them open, or one has."""

import multiprocessing
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from esper.contracts.errors import DataError
from esper.store.sqlite import SQLite, change_file, read_file
from tests.unit.store.entries import entry_of

Make = Callable[..., Any]
NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "esper.db"
    store = SQLite(str(path)).open()
    store.write([entry_of("one", 0), entry_of("one", 1), entry_of("two", 0)])
    store.close()
    return path


def test_entries_are_added_once_and_removed_at_once(path: Path) -> None:
    change_file(path, added=[entry_of("two", 0), entry_of("two", 1)], removed=[("one", "0")])
    assert read_file(path) == [entry_of("one", 1), entry_of("two", 0), entry_of("two", 1)]


def test_a_file_is_listed_while_a_run_writes_to_it(path: Path) -> None:
    run = SQLite(str(path)).open()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert len(read_file(path)) == 3
    with pytest.raises(DataError, match=rf"ledger {path} cannot be used: database is locked"):
        change_file(path, removed=[("one", "0")])
    other.close()
    run.write([entry_of("three", 0)])
    assert [entry.run for entry in read_file(path)] == ["one", "one", "two", "three"]
    run.close()


def test_a_failed_change_leaves_the_file_as_it_was(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute(
        "CREATE TRIGGER full BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    other.commit()
    other.close()
    with pytest.raises(DataError, match="cannot be used: no"):
        change_file(path, added=[entry_of("three", 0)], removed=[("one", "0")])
    assert len(read_file(path)) == 3


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    for act in (read_file, change_file):
        with pytest.raises(DataError, match="unable to open database file"):
            act(tmp_path / "no.db")
    assert list(tmp_path.iterdir()) == []


def test_another_programs_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE entries (id INTEGER)")
    other.commit()
    other.close()
    with pytest.raises(DataError, match="is a database of another program"):
        change_file(path, removed=[("one", "0")])


@pytest.fixture
def closed(path: Path) -> Iterator[Path]:
    """A file in a folder to which only its owner may write, as on a disk that is read-only."""
    # Not in the folder of this test, which another user may not enter.
    folder = Path(tempfile.mkdtemp())
    shutil.copy(path, folder / "esper.db")
    (folder / "esper.db").chmod(0o444)
    folder.chmod(0o555)
    yield folder / "esper.db"
    folder.chmod(0o755)
    shutil.rmtree(folder)


def _as_nobody(path: Path, told: Any) -> None:
    if os.geteuid() == 0:
        os.setuid(NOBODY)
    told.put(len(read_file(path)))
    try:
        change_file(path, removed=[("one", "0")])
    except DataError as error:
        told.put(str(error))


def test_a_read_only_file_is_listed_and_not_changed(closed: Path) -> None:
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    reader = context.Process(target=_as_nobody, args=(closed, told))
    reader.start()
    assert told.get(timeout=30) == 3
    line = told.get(timeout=30)
    reader.join()
    assert line == f"ledger {closed} cannot be used: attempt to write a readonly database"
