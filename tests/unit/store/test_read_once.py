"""A run reads its store once, whatever is written later and however often the run starts."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from esper.contracts.errors import DataError
from esper.contracts.ledger import LedgerEntry
from esper.rundir.layout import SNAPSHOT
from esper.store.base import StoreOption
from esper.store.export import read_export
from esper.store.memory import Memory
from esper.store.read_once import ReadOnce
from esper.store.snapshot import Snapshot
from esper.store.sqlite import SQLite

Make = Callable[..., Any]


@pytest.fixture
def shared(tmp_path: Path) -> SQLite:
    return SQLite(str(tmp_path / "shared.db"))


def write(option: StoreOption, *entries: LedgerEntry) -> None:
    store = option.open()
    store.write(entries)
    store.close()


def read(option: ReadOnce) -> list[LedgerEntry]:
    store = option.open()
    found = store.load()
    store.close()
    return found


def run_in(folder: Path, option: StoreOption, **values: Any) -> ReadOnce:
    folder.mkdir(exist_ok=True)
    return ReadOnce(option, folder, str(folder), **values)


@pytest.mark.parametrize("num_before", [0, 2])
def test_a_second_start_reads_what_the_first_one_read(
    tmp_path: Path, shared: SQLite, make_entry: Make, num_before: int
) -> None:
    entries = [make_entry(str(event)) for event in range(num_before)]
    write(shared, *entries)
    mine = run_in(tmp_path / "mine", shared)
    assert read(mine) == entries
    write(shared, make_entry("later"))
    assert read(mine) == entries
    assert read(run_in(tmp_path / "another", shared)) == [*entries, make_entry("later")]


def test_the_snapshot_names_its_moment(tmp_path: Path, shared: SQLite) -> None:
    before = time.time()
    read(run_in(tmp_path / "mine", shared, launcher="joblib"))
    moment = read_export(tmp_path / "mine" / SNAPSHOT, "it").moment
    assert moment is not None
    assert (moment.run, moment.launcher) == (str(tmp_path / "mine"), "joblib")
    assert before <= moment.taken_s <= time.time()


def test_a_run_does_not_read_its_own_entries(
    tmp_path: Path, shared: SQLite, make_entry: Make
) -> None:
    own = make_entry("0", run=str(tmp_path / "mine"))
    write(shared, own, make_entry("1"))
    assert read(run_in(tmp_path / "mine", shared)) == [make_entry("1")]


def test_what_is_written_goes_to_the_store_behind(
    tmp_path: Path, shared: SQLite, make_entry: Make
) -> None:
    mine = run_in(tmp_path / "mine", shared)
    store = mine.open()
    assert store.load() == []
    store.write([make_entry("0")])
    store.close()
    assert read(run_in(tmp_path / "another", shared)) == [make_entry("0")]


def test_a_saved_run_without_a_snapshot_reads_nothing_and_leaves_none(
    tmp_path: Path, shared: SQLite, make_entry: Make
) -> None:
    write(shared, make_entry("0"))
    assert read(run_in(tmp_path / "mine", shared, is_saved=True)) == []
    assert not (tmp_path / "mine" / SNAPSHOT).exists()


def test_memory_leaves_no_snapshot(tmp_path: Path) -> None:
    assert read(run_in(tmp_path / "mine", Memory())) == []
    assert not (tmp_path / "mine" / SNAPSHOT).exists()


def test_a_repeated_run_keeps_the_moment_of_the_first(
    tmp_path: Path, shared: SQLite, make_entry: Make
) -> None:
    write(shared, make_entry("0"))
    read(run_in(tmp_path / "first", shared, launcher="basic"))
    read(run_in(tmp_path / "again", Snapshot(str(tmp_path / "first"))))
    first, again = (tmp_path / name / SNAPSHOT for name in ("first", "again"))
    assert first.read_bytes() == again.read_bytes()


def test_a_broken_snapshot_is_refused_by_its_name(tmp_path: Path, shared: SQLite) -> None:
    mine = run_in(tmp_path / "mine", shared)
    (tmp_path / "mine" / SNAPSHOT).write_text("{")
    with pytest.raises(DataError, match=rf"mine/{SNAPSHOT} cannot be read"):
        read(mine)
