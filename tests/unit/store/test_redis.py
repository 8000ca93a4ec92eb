"""The Redis store: many writers, invalid entries, and a server that goes away and comes back."""

import logging
import multiprocessing
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from esper.contracts.errors import DataError
from esper.store.redis import Redis, RedisStore
from tests.redis_server import RedisServer
from tests.unit.store.entries import entry_of

Make = Callable[..., Any]
WRITERS, WRITES, SHARED = 4, 150, 50


def write(url: str, key: str, run: str) -> None:
    """Write one by one; the first ones have keys that the other processes use too."""
    store = Redis(url=url, key=key, timeout_s=30.0).open()
    for event in range(WRITES):
        store.write([entry_of("all" if event < SHARED else run, event)])
    store.close()


@pytest.fixture
def key() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[RedisStore]:
    store = Redis(url=redis_server.url, timeout_s=0.2).open()
    yield store
    store.close()


def test_processes_writing_at_once_lose_and_repeat_nothing(redis_url: str, key: str) -> None:
    context = multiprocessing.get_context("spawn")
    runs = [f"run {number}" for number in range(WRITERS)]
    writers = [
        context.Process(target=write, args=(redis_url, key, run), daemon=True) for run in runs
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    found = Redis(url=redis_url, key=key).open().load()
    expected = [entry_of("all", event) for event in range(SHARED)]
    for run in runs:
        own = [entry_of(run, event) for event in range(SHARED, WRITES)]
        assert [entry for entry in found if entry.run == run] == own, "each in its own order"
        expected += own
    assert sorted(found, key=lambda e: (e.run, e.epoch)) == sorted(
        expected, key=lambda e: (e.run, e.epoch)
    )


def test_a_store_of_many_pages_is_read_to_its_end(
    redis_url: str, key: str, make_entry: Make
) -> None:
    store = Redis(url=redis_url, key=key).open()
    for num_entries in (499, 500, 501, 1500):
        store.write([make_entry(str(event)) for event in range(num_entries)])
        assert [int(entry.event) for entry in store.load()] == list(range(num_entries))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"note": "hello"}, "an entry is an object, got None"),
        ({"entry": "{"}, "Expecting property name"),
        ({"entry": '{"run": "a"}'}, "no blueprint"),
    ],
)
def test_something_that_is_no_entry_is_refused_with_its_key(
    redis_url: str, key: str, client: Any, fields: dict[str, str], words: str, make_entry: Make
) -> None:
    store = Redis(url=redis_url, key=key).open()
    store.write([make_entry("0")])
    number = client.xadd(f"{key}:ledger:4", fields)
    with pytest.raises(DataError) as refused:
        store.load()
    assert f"key {key}:ledger:4 of redis://" in str(refused.value)
    assert f"holds something that is no entry ({number}): {words}" in str(refused.value)


def test_a_key_of_another_program_is_refused_and_left_alone(
    redis_url: str, key: str, client: Any
) -> None:
    client.set(f"{key}:ledger:4", "mine")
    with pytest.raises(DataError, match=rf"key {key}:ledger:4\).* cannot be used: WRONGTYPE"):
        Redis(url=redis_url, key=key).open().load()
    assert client.get(f"{key}:ledger:4") == "mine"


def test_a_server_that_is_not_there_is_refused_with_how_to_start_one() -> None:
    pytest.importorskip("redis")
    with pytest.raises(DataError) as refused:
        Redis(url="redis://me:secret@127.0.0.1:1/0").open()
    line = str(refused.value)
    assert line.startswith("store.url redis://me:***@127.0.0.1:1/0 cannot be used: ")
    assert "(start one: redis-server" in line
    assert "secret" not in line


def test_entries_wait_for_a_server_that_died_and_are_there_once_it_is_back(
    redis_server: RedisServer,
    store: RedisStore,
    make_entry: Make,
    caplog: pytest.LogCaptureFixture,
) -> None:
    redis_server.kill()
    with caplog.at_level(logging.WARNING):
        for event in range(20):
            store.write([make_entry(str(event))])
    assert len(caplog.records) == 1
    outages = [(each.where, each.error, each.recovered) for each in store.drain()]
    assert outages == [("store", "ConnectionError", True)]
    redis_server.start()
    store.close()
    again = Redis(url=redis_server.url).open()
    assert [int(entry.event) for entry in again.load()] == list(range(20))
    again.close()


def test_a_server_that_was_restarted_unseen_is_simply_connected_to_again(
    redis_server: RedisServer, store: RedisStore, make_entry: Make
) -> None:
    store.write([make_entry("0")])
    redis_server.kill()
    redis_server.start()
    store.write([make_entry("1")])
    assert store.drain() == []
    assert [entry.event for entry in store.load()] == ["1"]


def test_a_server_that_hangs_costs_one_time_limit(
    redis_server: RedisServer, store: RedisStore, make_entry: Make
) -> None:
    redis_server.pause()
    began = time.monotonic()
    for event in range(100):
        store.write([make_entry(str(event))])
    took = time.monotonic() - began
    assert 0.2 <= took < 5, "one of 100 writes waited, not each"
    assert [each.error for each in store.drain()] == ["TimeoutError"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"url": "localhost"}, r"store\.url must be like redis://"),
        ({"key": ""}, r"store\.key must be a name"),
        ({"timeout_s": 0}, r"store\.timeout_s must be > 0, got 0"),
    ],
)
def test_an_option_that_could_not_work_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Redis(**values)
