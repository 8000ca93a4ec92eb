"""`esper ledger` as it is typed: what it prints, what it refuses, and with which code."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from esper.cli import execute
from esper.run.ledger_file import read_ledger
from esper.store.sqlite import SQLite

Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def path(make_entry: Make) -> Path:
    """A ledger of two runs in the working directory."""
    one, two = (str(Path.cwd() / "runs" / name) for name in ("one", "two"))
    store = SQLite("my.db").open()
    store.write([make_entry("0", run=one), make_entry("1", run=one, blueprint="b")])
    store.write([make_entry("0", run=two)])
    store.close()
    return Path("my.db")


@pytest.mark.parametrize("words", [["ledger", "my.db"], ["ledger", "list", "my.db"]])
def test_a_path_alone_is_listed(
    words: list[str], path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "my.db  3 entries of 2 runs"
    row = ["dense", "parallel", "a", "2", "0.500", "0.000", "-", "0.0", "%", "runs/two"]
    assert row in [line.split() for line in lines]


@pytest.mark.parametrize("words", [["--json", "my.db"], ["my.db", "--json"]])
def test_machines_read_json(
    words: list[str], path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["ledger", *words]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["path"], values["entries"], len(values["runs"])) == ("my.db", 3, 2)
    assert [pool["blueprint"] for pool in values["pools"]] == ["a", "b"]


def test_merging_says_how_many_were_new(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["ledger", "merge", "all.json", "my.db", "my.db"]) == 0
    assert capsys.readouterr().out == "all.json: 3 entries added, 3 known already\n"
    assert read_ledger(Path("all.json")) == read_ledger(path)


def test_forgetting_says_what_it_removed(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["ledger", "forget", "my.db", "--run", "runs/one", "--blueprint", "b"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "my.db: 1 entry removed, 2 left",
        "  1 of b by runs/one",
    ]
    assert execute(["ledger", "forget", "my.db", "--before", "runs/two"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "my.db: 1 entry removed, 1 left",
        "  1 of a by runs/one",
    ]
    assert execute(["ledger", "forget", "my.db", "--blueprint", "c"]) == 0
    assert capsys.readouterr().out == "my.db: 0 entries removed, 1 left\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "Missing argument"),
        (["no.db"], "no ledger at no.db: there is no such file or folder"),
        (["notes.txt"], "ledger notes.txt cannot be read"),
        (["."], "no ledger at .: the folder holds no run that was saved"),
        (["other.db"], "ledger other.db is a database of another program"),
        (["merge", "all.json"], "Missing argument"),
        (["merge", "all.json", "no.db"], "no ledger at no.db"),
        (["merge", "no/all.json", "my.db"], "No such file or directory: no/all.json"),
        (["merge", "notes.txt", "my.db"], "ledger notes.txt cannot be read"),
        (["forget", "my.db"], "forget needs a selector: --blueprint, --run or --before"),
        (["forget", "no.db", "--run", "one"], "no ledger at no.db"),
        (["forget", ".", "--run", "one"], "ledger . is a run's own record"),
        (["forget", "my.db", "--before", "nobody"], "has no entry of a run nobody"),
        (["my.db", "--nope"], "No such option: --nope"),
    ],
)
def test_misuse_is_one_line_and_changes_nothing(
    words: list[str], line: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("notes.txt").write_text("notes")
    other = sqlite3.connect("other.db")
    other.execute("CREATE TABLE entries (id INTEGER)")
    other.close()
    before = read_ledger(path)
    assert execute(["ledger", *words]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("error: ")
    assert line in said
    assert read_ledger(path) == before
    assert not Path("all.json").exists()


def test_a_locked_ledger_is_one_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert execute(["ledger", "forget", "my.db", "--blueprint", "a"]) == 1
    other.close()
    line = "error: ledger my.db cannot be used: database is locked\n"
    assert capsys.readouterr().err == line
    assert len(read_ledger(path)) == 3


def test_listing_a_file_imports_no_torch(path: Path) -> None:
    code = (
        "import sys\nfrom esper.cli import execute\nassert execute(['ledger', 'my.db']) == 0\n"
        "print('heavy:', [name for name in ('torch', 'hydra') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("heavy: []\n")
