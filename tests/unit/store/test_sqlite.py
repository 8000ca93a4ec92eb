"""The SQLite store: files that it accepts, and two processes that share one."""

import multiprocessing
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from esper.contracts.errors import DataError
from esper.contracts.slot import SlotSpec
from esper.store.sqlite import SQLite
from esper.strategy.ledger import Ledger
from tests.unit.store.entries import entry_of

Make = Callable[..., Any]


def _write(path: str, run: str, shared: int) -> None:
    """Open the file anew for every entry; half of them have keys that the other process uses."""
    for index in range(60):
        store = SQLite(path).open()
        store.write([entry_of(run if index >= shared else "both", index)])
        store.close()


def test_a_second_run_starts_from_what_the_first_one_learned(
    tmp_path: Path, make_entry: Make, slot: SlotSpec
) -> None:
    option = SQLite(str(tmp_path / "deep" / "esper.db"))
    first = option.open()
    first.write([make_entry("0", run="first", reward=0.25), make_entry("1", run="first")])
    first.close()
    second = option.open()
    ledger = Ledger()
    assert ledger.warm_start(second.load(), run="second") == 2
    second.close()
    assert ledger.arm(slot, 3, "a").trials == 2


def test_a_snapshot_does_not_follow_what_others_write(tmp_path: Path, make_entry: Make) -> None:
    option = SQLite(str(tmp_path / "esper.db"))
    mine, theirs = option.open(), option.open()
    snapshot = mine.load()
    theirs.write([make_entry("0")])
    assert snapshot == []
    assert mine.load() == [make_entry("0")]
    mine.close()
    theirs.close()


def test_two_processes_writing_at_once_lose_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "esper.db")
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(path, run, 30)) for run in ("one", "two")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    store = SQLite(path).open()
    keys = [(entry.run, int(entry.event)) for entry in store.load()]
    store.close()
    expected = [("both", index) for index in range(30)]
    expected += [(run, index) for run in ("one", "two") for index in range(30, 60)]
    assert sorted(keys) == sorted(expected)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to look like one\n" * 100)
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"notes\.txt' cannot be used: file is not a database"):
        SQLite(str(path)).open()
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE entries (id INTEGER)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"other\.db' is a database of another program"):
        SQLite(str(path)).open()
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", [4, 6])
def test_another_schema_version_is_refused(tmp_path: Path, version: int) -> None:
    path = tmp_path / "esper.db"
    SQLite(str(path)).open().close()
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA user_version = {version}")
    other.close()
    with pytest.raises(DataError, match=f"has schema version {version}, this Esper reads 5"):
        SQLite(str(path)).open()


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "esper.db", tmp_path):
        with pytest.raises(DataError, match=r"store\.path '.*' cannot be used: "):
            SQLite(str(path)).open()


def test_a_broken_entry_is_named(tmp_path: Path, make_entry: Make) -> None:
    path = tmp_path / "esper.db"
    store = SQLite(str(path)).open()
    store.write([make_entry("0")])
    meddler = sqlite3.connect(path)
    meddler.execute("UPDATE entries SET reward = 'much'")
    meddler.commit()
    meddler.close()
    with pytest.raises(DataError, match=r"broken entry \(run, 0\)"):
        store.load()
    store.close()


def test_a_closed_store_is_refused_in_one_line(tmp_path: Path, make_entry: Make) -> None:
    store = SQLite(str(tmp_path / "esper.db")).open()
    store.close()
    with pytest.raises(DataError, match="closed database"):
        store.write([make_entry("0")])


def test_the_path_must_not_be_empty() -> None:
    with pytest.raises(ValueError, match=r"store\.path must be a file"):
        SQLite("")


def test_a_context_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "esper.db"
    store = SQLite(str(path)).open()
    store.write([entry_of("run", 0)])
    other = sqlite3.connect(path)
    other.execute("UPDATE entries SET context = '['")
    other.commit()
    other.close()
    with pytest.raises(DataError, match=r"a broken entry \(run, 0\): context must be JSON"):
        store.load()
    store.close()


def test_features_and_their_gaps_are_kept(tmp_path: Path) -> None:
    entry = replace(entry_of("run", 1), features=(0.5, None, -2e-4), shown=0.25)
    store = SQLite(str(tmp_path / "esper.db")).open()
    store.write([entry])
    assert store.load() == [entry]
    store.close()
