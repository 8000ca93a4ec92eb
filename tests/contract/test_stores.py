"""The contract of every store."""

import json
import uuid
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from esper.contracts.ledger import LedgerEntry
from esper.options import OPTIONS
from esper.store.base import StoreOption
from esper.store.memory import Memory
from esper.store.redis import Redis
from esper.store.snapshot import Snapshot
from esper.store.sqlite import SQLite

Open = Callable[[str], StoreOption]
WRITABLE = [name for name in OPTIONS["store"] if name != "snapshot"]
SHARED = [name for name in WRITABLE if name != "memory"]


def entry(event: int, run: str = "run") -> LedgerEntry:
    """Return an entry whose numbers have no short decimal form; every third is unmeasured."""
    measured = None if event % 3 == 2 else event / 7
    return LedgerEntry(
        run=run,
        event=f"größe/{event}",
        slot="block",
        seed=event % 4,
        slot_kind="dense",
        placement="series",
        blueprint="mlp",
        task_family="image",
        reward_model="gain",
        epoch=event,
        reward=measured,
        loss_reduction=measured,
        memory_mb=measured,
        fossilized=event % 2 == 0,
        success=event % 3 == 0,
        context=(1.0, event / 7, 0.0, 1.0) if event < 7 else (),
    )


@pytest.fixture
def option(tmp_path: Path, request: pytest.FixtureRequest) -> Open:
    """Return the option of a name, each time for the same place, which is this test's own."""
    key = f"test-{uuid.uuid4().hex}"

    def of(name: str) -> StoreOption:
        if name == "redis":
            return Redis(url=request.getfixturevalue("redis_url"), key=key)
        if name == "snapshot":
            return Snapshot(str(tmp_path / "snapshot.json"))
        return SQLite(str(tmp_path / "esper.db")) if name == "sqlite" else Memory()

    return of


@pytest.mark.parametrize("name", WRITABLE)
def test_a_store_gives_back_what_it_was_given_oldest_first(name: str, option: Open) -> None:
    store = option(name).open()
    assert store.load() == []
    written = [entry(event) for event in (3, 1, 2, 0)]
    store.write(written[:1])
    store.write(written[1:])
    assert store.load() == written
    assert store.drain() == []
    store.close()


@pytest.mark.parametrize("name", WRITABLE)
def test_writing_under_a_known_key_replaces_it_where_it_stands(name: str, option: Open) -> None:
    store = option(name).open()
    store.write([entry(0), entry(1)])
    revised = replace(entry(0), reward=0.9, weight=0.75)
    store.write([entry(1), revised, entry(0, run="another")])
    assert store.load() == [revised, entry(1), entry(0, run="another")]
    store.write([revised])
    store.write([entry(0)])
    assert store.load() == [entry(0), entry(1), entry(0, run="another")]
    store.close()


@pytest.mark.parametrize("name", SHARED)
def test_a_later_run_finds_what_earlier_ones_left_and_reads_it_once(
    name: str, option: Open
) -> None:
    first, second = option(name).open(), option(name).open()
    snapshot = second.load()
    first.write([entry(0)])
    first.close()
    assert snapshot == []
    assert option(name).open().load() == [entry(0)]
    second.close()


@pytest.mark.parametrize("name", OPTIONS["store"])
def test_closing_twice_does_no_harm(name: str, option: Open, tmp_path: Path) -> None:
    (tmp_path / "snapshot.json").write_text(json.dumps([asdict(entry(0))]))
    store = option(name).open()
    store.close()
    store.close()
    assert store.drain() == []
