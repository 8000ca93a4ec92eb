"""Ledgers as JSON files: what is written is read back, and what is none is refused."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from esper.contracts.errors import DataError
from esper.store.export import Export, Moment, num_runs, read_export, write_export

Make = Callable[..., Any]
MOMENT = Moment(run="/runs/one", launcher="basic", taken_s=1.5)


@pytest.mark.parametrize("moment", [None, MOMENT])
def test_what_is_written_is_read_back(
    tmp_path: Path, make_entry: Make, moment: Moment | None
) -> None:
    export = Export([make_entry("1", reward=1 / 3), make_entry("0", reward=None)], moment)
    write_export(tmp_path / "out.json", export)
    assert read_export(tmp_path / "out.json", "it") == export


def test_a_plain_list_of_entries_is_read_too(tmp_path: Path, make_entry: Make) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps([asdict(make_entry("0"))]))
    assert read_export(path, "it") == Export([make_entry("0")])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"entries": 3}, "it must hold a list of entries"),
        (3, "it must hold a list of entries"),
        ({"entries": [], "moment": 3}, "it: its moment cannot be read"),
        ({"entries": [], "moment": {"run": "a"}}, "it: its moment cannot be read"),
        (
            {"entries": [], "moment": {"run": "a", "launcher": None, "taken_s": "now"}},
            "it: its moment cannot be read",
        ),
        ({"entries": [{}]}, "it entry 0: no blueprint"),
    ],
)
def test_something_else_is_refused(tmp_path: Path, value: Any, words: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps(value))
    with pytest.raises(DataError) as refused:
        read_export(path, "it")
    assert str(refused.value).startswith(words)


def test_a_missing_file_is_told_apart_from_a_broken_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_export(tmp_path / "no.json", "it")
    (tmp_path / "torn.json").write_text('{"entries": [')
    with pytest.raises(DataError, match="it cannot be read"):
        read_export(tmp_path / "torn.json", "it")


def test_runs_are_counted_once(make_entry: Make) -> None:
    assert num_runs([make_entry("0"), make_entry("1"), make_entry("0", run="two")]) == 2
    assert num_runs([]) == 0
