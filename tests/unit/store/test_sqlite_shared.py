"""One SQLite file and many processes, which write at once, are killed or hold the lock."""

import logging
import multiprocessing
import sqlite3
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from threading import Timer
from typing import Any

import pytest

from esper.contracts.ledger import LedgerEntry
from esper.store.sqlite import SQLite, SQLiteStore
from tests.unit.store.entries import entry_of

Make = Callable[..., Any]
SPAWN = multiprocessing.get_context("spawn")
WRITERS, WRITES, SHARED = 4, 150, 50


def write(path: str, run: str) -> None:
    """Write one by one; the first ones have keys that the other processes use too."""
    store = SQLite(path, timeout_s=30).open()
    for event in range(WRITES):
        store.write([entry_of("all" if event < SHARED else run, event)])
    assert store.drain() == [], "nobody waited in vain"
    store.close()


def write_on(path: str, run: str, written: Any) -> None:
    """Write until killed; `written` counts the entries that the store has confirmed."""
    store = SQLite(path, timeout_s=30).open()
    while True:
        store.write([entry_of(run, written.value)])
        assert store.drain() == []
        written.value += 1


def loaded(path: Path) -> list[LedgerEntry]:
    store = SQLite(str(path)).open()
    found = store.load()
    store.close()
    return found


def test_four_processes_and_a_new_file_lose_and_repeat_nothing(tmp_path: Path) -> None:
    path = tmp_path / "esper.db"
    runs = [f"run {number}" for number in range(WRITERS)]
    writers = [started(write, str(path), run) for run in runs]
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    found = loaded(path)
    assert len(found) == SHARED + WRITERS * (WRITES - SHARED)
    for run in runs:
        own = [entry_of(run, event) for event in range(SHARED, WRITES)]
        assert [entry for entry in found if entry.run == run] == own, "each in its own order"
    assert {int(entry.event) for entry in found if entry.run == "all"} == set(range(SHARED))


def started(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Return a process that ends with this one, even if the test fails."""
    process = SPAWN.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def kill_later(writer: BaseProcess, written: Any, after: int) -> None:
    """Kill a writer as the system kills a process that takes too much memory."""
    end = time.monotonic() + 60
    while written.value < after:
        assert writer.is_alive()
        assert time.monotonic() < end
        time.sleep(0.0005)
    writer.kill()
    writer.join()


class Hindered(SQLiteStore):
    """A store of a file that another process locks right after creation; SQLite does not wait."""

    def _write_ahead(self) -> None:
        other = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            self._connection.execute("PRAGMA journal_mode = WAL")
        later = Timer(0.1, other.close)
        later.start()
        super()._write_ahead()
        later.join()


def test_a_new_file_that_another_is_making_too_is_waited_for(tmp_path: Path) -> None:
    store = Hindered(tmp_path / "esper.db", timeout_s=1.0)
    assert store.load() == []
    store.close()


def test_writers_killed_at_any_moment_leave_whole_entries_and_all_they_were_promised(
    tmp_path: Path,
) -> None:
    path = tmp_path / "esper.db"
    rng = Random(0)
    for number in range(3):
        counts = [SPAWN.Value("i", 0, lock=False) for _ in range(2)]
        runs = [f"{number}/{writer}" for writer in range(2)]
        pairs = zip(runs, counts, strict=True)
        writers = [started(write_on, str(path), *pair) for pair in pairs]
        for writer, count in zip(writers, counts, strict=True):
            kill_later(writer, count, after=rng.randrange(1, 150))
        found = loaded(path)
        for run, count in zip(runs, counts, strict=True):
            own = [entry for entry in found if entry.run == run]
            assert own == [entry_of(run, event) for event in range(len(own))]
            assert count.value <= len(own) <= count.value + 1, "the last one was not confirmed"
    check = sqlite3.connect(path)
    assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    check.close()


def test_a_file_that_somebody_locks_costs_one_wait_and_loses_nothing(
    tmp_path: Path, make_entry: Make, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "esper.db"
    store = SQLite(str(path), timeout_s=0.05).open()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        for event in range(100):
            store.write([make_entry(str(event))])
    assert time.monotonic() - began < 2, "one of 100 writes waited, not each"
    assert len(caplog.records) == 1
    assert "store.path" in caplog.text
    assert "database is locked; the run continues" in caplog.text
    outages = [(each.where, each.error, each.recovered) for each in store.drain()]
    assert outages == [("store", "OperationalError", True)]
    other.execute("ROLLBACK")
    other.close()
    store.close()
    assert [int(entry.event) for entry in loaded(path)] == list(range(100))


def test_a_file_that_breaks_in_the_middle_does_not_end_the_run(
    tmp_path: Path, make_entry: Make
) -> None:
    path = tmp_path / "esper.db"
    store = SQLite(str(path), timeout_s=0.05).open()
    other = sqlite3.connect(path)
    other.execute("DROP TABLE entries")
    other.commit()
    other.close()
    store.write([make_entry("0")])
    assert [each.error for each in store.drain()] == ["OperationalError"]
    store.close()


def test_the_wait_must_be_one() -> None:
    with pytest.raises(ValueError, match=r"store\.timeout_s must be > 0, got 0"):
        SQLite(timeout_s=0)
