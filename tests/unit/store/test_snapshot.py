"""The store with the entries that another run started from."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from esper.contracts.errors import DataError
from esper.rundir.layout import SNAPSHOT
from esper.store.snapshot import Snapshot

Make = Callable[..., Any]


def test_a_snapshot_gives_its_entries_and_takes_none(tmp_path: Path, make_entry: Make) -> None:
    entries = [make_entry("1", reward=1 / 3), make_entry("0", reward=None)]
    (tmp_path / SNAPSHOT).write_text(json.dumps([asdict(entry) for entry in entries]))
    before = (tmp_path / SNAPSHOT).read_bytes()
    for path in (tmp_path, tmp_path / SNAPSHOT):
        store = Snapshot(str(path)).open()
        store.write([make_entry("2")])
        assert store.load() == entries
        store.close()
    assert (tmp_path / SNAPSHOT).read_bytes() == before


def test_a_run_that_began_with_an_empty_store_left_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not the folder of a run"):
        Snapshot(str(tmp_path)).open()
    (tmp_path / ".hydra").mkdir()
    with pytest.raises(DataError, match=r"holds no ledger_snapshot\.json: .* \(.*store=memory\)"):
        Snapshot(str(tmp_path)).open()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "must hold a list of entries"),
        ("[", "cannot be read"),
        ("[1]", "entry 0: an entry is an object, got 1"),
        ("[{}]", "entry 0: no blueprint, no epoch, no event"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(DataError) as refused:
        Snapshot(str(path)).open().load()
    assert f"store.path '{path}' {words}" in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("reward", "much", "entry 1: reward must be float or null, got 'much'"),
        ("reward", float("nan"), "entry 1: reward must be finite"),
        ("epoch", True, "entry 1: epoch must be int, got True"),
        ("run", 3, "entry 1: run must be str, got 3"),
        ("fossilized", None, "entry 1: fossilized must be bool, got None"),
        ("wings", 2, "entry 1: unknown 'wings'"),
    ],
)
def test_a_broken_entry_is_named(
    tmp_path: Path, make_entry: Make, key: str, value: object, words: str
) -> None:
    broken = asdict(make_entry("1")) | {key: value}
    (tmp_path / SNAPSHOT).write_text(json.dumps([asdict(make_entry("0")), broken]))
    with pytest.raises(DataError) as refused:
        Snapshot(str(tmp_path)).open().load()
    assert words in str(refused.value)


def test_a_missing_file_and_an_empty_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.json' is missing; store=snapshot needs the folder"):
        Snapshot(str(tmp_path / "no.json")).open().load()
    with pytest.raises(ValueError, match=r"store\.path must be a file"):
        Snapshot("")
