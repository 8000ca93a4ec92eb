"""Ledgers on the disk: read in all their forms, merged, and forgotten by choice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from esper.contracts.errors import DataError
from esper.contracts.ledger import LedgerEntry
from esper.run.ledger_file import Selector, forget, merge, read_ledger
from esper.rundir.layout import SNAPSHOT
from esper.store.export import Export, write_export
from esper.store.sqlite import SQLite

Make = Callable[..., Any]


def sqlite_of(path: Path, *entries: LedgerEntry) -> Path:
    store = SQLite(str(path)).open()
    store.write(entries)
    store.close()
    return path


def json_of(path: Path, *entries: LedgerEntry) -> Path:
    write_export(path, Export(list(entries)))
    return path


@pytest.mark.parametrize("make", [sqlite_of, json_of])
def test_a_file_is_read_by_its_content_and_not_by_its_name(
    tmp_path: Path, make_entry: Make, make: Callable[..., Path]
) -> None:
    entries = [make_entry("1"), make_entry("0", reward=None)]
    assert read_ledger(make(tmp_path / "any.name", *entries)) == entries


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "command.json").write_text("{}")
    for name, words in {
        "no": "there is no such file or folder",
        "notes.txt": "a ledger is an SQLite file, a JSON export or the folder of a run",
        ".": "the folder holds no run that was saved",
        "sweep": "is a sweep, not a run; its jobs are",
    }.items():
        with pytest.raises(DataError) as refused:
            read_ledger(tmp_path / name)
        assert words in str(refused.value)


def test_a_run_that_was_never_saved_has_what_it_read(tmp_path: Path, make_entry: Make) -> None:
    json_of(tmp_path / SNAPSHOT, make_entry("0"))
    assert read_ledger(tmp_path) == [make_entry("0")]


@pytest.mark.parametrize("name", ["out.json", "out.db"])
def test_ledgers_are_merged_each_entry_once_and_the_first_one_counts(
    tmp_path: Path, make_entry: Make, name: str
) -> None:
    one = sqlite_of(tmp_path / "one.db", make_entry("0"), make_entry("1"))
    two = json_of(tmp_path / "two.json", make_entry("1", reward=0.75), make_entry("0", run="two"))
    out = tmp_path / name
    assert merge(out, [one, two]) == (3, 1)
    merged = [make_entry("0"), make_entry("1"), make_entry("0", run="two")]
    assert read_ledger(out) == merged
    assert json.loads((tmp_path / "two.json").read_text())["entries"][0]["reward"] == 0.75
    assert merge(out, [two, json_of(tmp_path / "three", make_entry("2"))]) == (1, 2)
    assert read_ledger(out) == [*merged, make_entry("2")]
    is_json = out.read_bytes().startswith(b"{")
    assert is_json == (name == "out.json")


def test_a_source_that_cannot_be_read_leaves_the_target_as_it_was(
    tmp_path: Path, make_entry: Make
) -> None:
    out = json_of(tmp_path / "out.json", make_entry("0"))
    one = sqlite_of(tmp_path / "one.db", make_entry("1"))
    with pytest.raises(DataError, match="no ledger at"):
        merge(out, [one, tmp_path / "no"])
    assert read_ledger(out) == [make_entry("0")]
    with pytest.raises(DataError, match="no ledger at"):
        merge(tmp_path / "fresh.db", [one, tmp_path / "no"])
    assert not (tmp_path / "fresh.db").exists()
    for own in (tmp_path, tmp_path / SNAPSHOT):
        with pytest.raises(DataError, match="a run's own record, to which nothing is added"):
            merge(own, [one])


@pytest.mark.parametrize("make", [sqlite_of, json_of])
@pytest.mark.parametrize(
    ("selector", "removed"),
    [
        (Selector(blueprints=("a",)), ["one/0", "two/0"]),
        (Selector(blueprints=("a", "b")), ["one/0", "one/1", "two/0"]),
        (Selector(runs=("one",)), ["one/0", "one/1"]),
        (Selector(blueprints=("a",), runs=("two",)), ["two/0"]),
        (Selector(before="three"), ["one/0", "one/1", "two/0"]),
        (Selector(blueprints=("b",), before="two"), ["one/1"]),
        (Selector(runs=("nobody",)), []),
    ],
)
def test_entries_are_forgotten_by_what_they_know(
    tmp_path: Path,
    make_entry: Make,
    make: Callable[..., Path],
    selector: Selector,
    removed: list[str],
) -> None:
    entries = [
        make_entry("0", run="one", blueprint="a"),
        make_entry("1", run="one", blueprint="b"),
        make_entry("0", run="two", blueprint="a"),
        make_entry("0", run="three", blueprint="c"),
    ]
    path = make(tmp_path / "ledger", *entries)
    chosen, left = forget(path, selector)
    assert [f"{entry.run}/{entry.event}" for entry in chosen] == removed
    assert left == 4 - len(removed)
    kept = [f"{entry.run}/{entry.event}" for entry in read_ledger(path)]
    assert kept == [k for k in ("one/0", "one/1", "two/0", "three/0") if k not in removed]


def test_a_run_is_named_by_its_folder_too(
    tmp_path: Path, make_entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = make_entry("0", run=str(tmp_path.resolve() / "runs" / "mine"))
    path = json_of(tmp_path / "ledger.json", make_entry("0"), mine)
    assert forget(path, Selector(before="runs/mine")) == ([make_entry("0")], 1)
    assert forget(path, Selector(runs=("runs/mine",))) == ([mine], 0)


def test_nothing_is_forgotten_without_a_choice_or_from_a_run(
    tmp_path: Path, make_entry: Make
) -> None:
    with pytest.raises(DataError, match="needs a selector: --blueprint, --run or --before"):
        Selector()
    snapshot = json_of(tmp_path / SNAPSHOT, make_entry("0"))
    kept = snapshot.read_bytes()
    for path in (tmp_path, snapshot):
        with pytest.raises(DataError, match="a run's own record, from which nothing is removed"):
            forget(path, Selector(blueprints=("a",)))
    assert snapshot.read_bytes() == kept
    with pytest.raises(DataError, match="the ledger has no entry of a run nobody"):
        forget(json_of(tmp_path / "a.json", make_entry("0")), Selector(before="nobody"))
