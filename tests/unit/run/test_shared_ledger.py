"""What the summary says about a run's snapshot; what a run's ledger holds at its end."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from esper.run.ledger_file import read_ledger
from esper.run.run import run
from esper.run.shared_ledger import ledger_facts, run_store
from esper.rundir.layout import SNAPSHOT
from esper.store.export import Export, Moment, write_export
from esper.store.memory import Memory
from esper.store.sqlite import SQLite
from esper.strategy.ledger import Ledger
from tests.unit.run.test_run import small

Make = Callable[..., Any]


def test_a_run_without_a_store_read_nothing(tmp_path: Path) -> None:
    assert ledger_facts(tmp_path, Ledger()) == {"ledger_entries_read": 0, "ledger_snapshot": None}


def test_the_snapshot_is_counted_and_its_moment_told(tmp_path: Path, make_entry: Make) -> None:
    other = replace(make_entry("2"), task_family="another")
    entries = [make_entry("0"), make_entry("1"), make_entry("0", run="two"), other]
    moment = Moment(run="/runs/mine", launcher="basic", taken_s=12.5)
    write_export(tmp_path / SNAPSHOT, Export(entries, moment))
    mine = entries[0]
    told = ledger_facts(tmp_path, Ledger(mine.task_family, mine.reward_model))
    assert told["ledger_entries_read"] == 4
    counts = {"runs": 2, "comparable": 3}
    assert told["ledger_snapshot"] == {"file": SNAPSHOT, **counts, **asdict(moment)}


def test_a_snapshot_without_a_moment_is_told_too(tmp_path: Path, make_entry: Make) -> None:
    (tmp_path / SNAPSHOT).write_text(json.dumps([asdict(make_entry("0"))]))
    told = ledger_facts(tmp_path, Ledger())["ledger_snapshot"]
    unknown = {"run": None, "launcher": None, "taken_s": None}
    assert told == {"file": SNAPSHOT, "runs": 1, "comparable": 1, **unknown}


@pytest.mark.parametrize("name", [None, "last", ".next"])
def test_the_ledger_of_a_saved_run_is_in_its_checkpoint(tmp_path: Path, name: str | None) -> None:
    if name is not None:
        folder = tmp_path / "checkpoints" / name
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    store = run_store(Memory(), tmp_path, None)
    assert store.is_saved == (name is not None)
    assert store.run == str(tmp_path.resolve())


def test_the_ledger_of_a_run_is_what_it_read_and_what_it_found_out(tmp_path: Path) -> None:
    shared = tmp_path / "shared.db"
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        run(small(store=SQLite(path=str(shared))), tmp_path / name)
    first, second = (read_ledger(tmp_path / name) for name in ("first", "second"))
    assert second == read_ledger(shared)
    assert first == second[: len(first)]
    assert {entry.run for entry in second} == {
        str((tmp_path / name).resolve()) for name in ("first", "second")
    }
