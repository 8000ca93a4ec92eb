"""Reads and writes of a store by the settler, also during outages."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from esper.contracts.event import EventKind, Recovery
from esper.contracts.ledger import LedgerEntry
from esper.grower.settle import Settler
from esper.options import OPTIONS
from esper.policy.heuristic import Heuristic
from esper.store.base import Store
from esper.store.memory import Memory
from esper.store.sqlite import SQLite
from tests.unit.policy.builders import make_outcome, make_slot

SPEC = make_slot().spec


def make_settlement(store: Store, run_id: str = "run") -> Settler:
    return Settler(OPTIONS["reward"]["gain"](), Heuristic().build(0), store, run_id)


def kept(path: Path) -> list[LedgerEntry]:
    store = SQLite(str(path)).open()
    found = store.load()
    store.close()
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "esper.db"


@pytest.fixture
def locked(path: Path) -> Iterator[tuple[Store, sqlite3.Connection]]:
    """A store whose file another connection locked after opening."""
    store = SQLite(str(path), timeout_s=0.05).open()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield store, other
    other.close()
    store.close()


def test_a_run_does_not_begin_with_what_its_former_self_left() -> None:
    store = Memory().open()
    for run_id in ("earlier", "run"):
        make_settlement(store, run_id).settle(make_outcome("mlp"), SPEC)
    again = make_settlement(store, "run")
    assert [entry.run for entry in again.snapshot] == ["earlier"]
    assert again.ledger.arm(SPEC, 0, "mlp").trials == again.snapshot[0].weight


def test_an_outage_is_told_behind_what_was_learned_and_the_entry_is_not_lost(
    path: Path, locked: tuple[Store, sqlite3.Connection]
) -> None:
    store, other = locked
    settlement = make_settlement(store)
    events = settlement.settle(make_outcome("mlp"), SPEC)
    kinds = [event.event_kind for event in events]
    assert kinds[:3] == [EventKind.REWARD, EventKind.LEDGER, EventKind.RECOVERY]
    outage = events[2]
    assert isinstance(outage, Recovery)
    assert outage.where == "store"
    second = replace(make_outcome("mlp"), activation=2)
    again = [event.event_kind for event in settlement.settle(second, SPEC)]
    assert EventKind.RECOVERY not in again, "it is the same outage"
    other.execute("ROLLBACK")
    assert settlement.close() == []
    assert kept(path) == settlement.ledger.entries_of_run()


def test_an_outage_that_no_settlement_could_tell_is_told_at_the_end(path: Path) -> None:
    before = make_settlement(Memory().open())
    before.settle(make_outcome("mlp"), SPEC)
    settlement = make_settlement(SQLite(str(path)).open())
    other = sqlite3.connect(path)
    other.execute("DROP TABLE entries")
    other.close()
    settlement.load_state_dict(before.state_dict())
    assert [recovery.where for recovery in settlement.close()] == ["store"]


def test_a_resumed_run_hands_in_what_waited_when_it_was_killed(
    path: Path, locked: tuple[Store, sqlite3.Connection]
) -> None:
    store, other = locked
    settlement = make_settlement(store)
    list(settlement.settle(make_outcome("mlp"), SPEC))
    state = settlement.state_dict()
    other.execute("ROLLBACK")
    assert kept(path) == [], "the killed run wrote nothing"
    resumed = make_settlement(SQLite(str(path)).open())
    for _ in range(2):
        resumed.load_state_dict(state)
    assert resumed.close() == []
    assert kept(path) == resumed.ledger.entries_of_run() != []
