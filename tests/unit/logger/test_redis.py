"""The Redis stream: its messages, and a server that is missing, goes away or hangs."""

import json
import logging
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from esper.contracts.stage import SeedStage
from esper.logger.bus import EventBus
from esper.logger.jsonl import Jsonl
from esper.logger.redis import Redis, RedisSink
from tests.redis_server import RedisServer

FACTS = {"name": "digits", "run_dir": "runs/digits/1", "epochs": 3, "config": {"epochs": 3}}
SUMMARY = {"status": "finished", "test_accuracy": 0.9, "best": float("nan")}


@pytest.fixture
def stream() -> str:
    return f"test-{uuid.uuid4().hex}"


def sink_of(option: Redis, run_dir: Path) -> RedisSink:
    (sink,) = option.build(run_dir)
    assert isinstance(sink, RedisSink)
    return sink


def play(bus: EventBus, move: Any, line: Any, epochs: int = 3) -> None:
    bus.start(FACTS)
    for epoch in range(1, epochs + 1):
        bus.publish(move(epoch=epoch, slot="größe"))
        bus.publish(move(epoch=epoch, to_stage=SeedStage.CULLED))
        bus.epoch(line(epoch=epoch))
    bus.close(SUMMARY)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def bodies(messages: list[Any], word: str) -> list[dict[str, Any]]:
    return [json.loads(fields["body"]) for _, fields in messages if fields["type"] == word]


def without_time(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in each.items() if key != "time"} for each in records]


def test_the_stream_holds_what_the_files_hold_in_order(
    redis_url: str, stream: str, client: Any, tmp_path: Path, move: Any, line: Any
) -> None:
    sink = sink_of(Redis(url=redis_url, stream=stream), tmp_path)
    play(EventBus(Jsonl(tmp_path), sink), move, line)
    messages = client.xrange(stream)
    assert [fields["number"] for _, fields in messages] == [str(n) for n in range(1, 12)]
    assert [fields["type"] for _, fields in messages] == [
        "start",
        *["event", "event", "epoch"] * 3,
        "end",
    ]
    assert without_time(bodies(messages, "event")) == without_time(lines(tmp_path / "events.jsonl"))
    assert bodies(messages, "epoch") == lines(tmp_path / "metrics.jsonl")
    assert bodies(messages, "start") == [FACTS]
    assert bodies(messages, "end") == [{**SUMMARY, "best": None}]


def test_fields_can_be_filtered_without_reading_a_body(
    redis_url: str, stream: str, client: Any, tmp_path: Path, move: Any, line: Any
) -> None:
    play(EventBus(sink_of(Redis(url=redis_url, stream=stream), tmp_path)), move, line, epochs=1)
    (_, start), (_, event), _, (_, epoch), (_, end) = client.xrange(stream)
    assert {start["run"], event["run"], epoch["run"], end["run"]} == {"runs/digits/1"}
    assert (event["kind"], event["epoch"]) == ("lifecycle", "1")
    assert event["time"] == json.loads(event["body"])["time"]
    assert epoch["epoch"] == "1"
    assert (end["status"], end["dropped"]) == ("finished", "0")


def test_nothing_is_sent_before_the_epoch_ends_unless_much_waits(
    redis_url: str, stream: str, client: Any, tmp_path: Path, move: Any, line: Any
) -> None:
    sink = sink_of(Redis(url=redis_url, stream=stream), tmp_path)
    sink.start(FACTS)
    for _ in range(499):
        sink.event(move())
    assert client.xlen(stream) == 1
    sink.event(move())
    assert client.xlen(stream) == 501
    sink.epoch(line())
    assert client.xlen(stream) == 502
    sink.close(None)
    (_, end), *_ = client.xrevrange(stream, count=1)
    assert (end["status"], end["body"]) == ("failed", "null")


def test_a_consumer_group_shares_the_messages_and_takes_over_from_a_dead_consumer(
    redis_url: str, stream: str, client: Any, tmp_path: Path, move: Any, line: Any
) -> None:
    client.xgroup_create(stream, "group", id="0", mkstream=True)
    play(EventBus(sink_of(Redis(url=redis_url, stream=stream), tmp_path)), move, line)
    numbers = []
    for consumer in ("one", "other") * 3:
        answer = client.xreadgroup("group", consumer, {stream: ">"}, count=2)
        ((_, messages),) = answer.items() if isinstance(answer, dict) else answer
        numbers += [fields["number"] for _, fields in messages]
        if consumer == "one":
            client.xack(stream, "group", *[number for number, _ in messages])
    assert numbers == [str(number) for number in range(1, 12)]
    assert client.xpending(stream, "group")["pending"] == 5
    claimed = client.xautoclaim(stream, "group", "one", min_idle_time=0)[1]
    assert [fields["number"] for _, fields in claimed] == ["3", "4", "7", "8", "11"]


def test_the_stream_is_named_after_the_run_and_bounded(
    redis_server: RedisServer, tmp_path: Path, line: Any
) -> None:
    import redis

    sink = sink_of(Redis(url=redis_server.url, maxlen=100), tmp_path)
    sink.start(FACTS)
    for epoch in range(1, 1001):
        sink.epoch(line(epoch=epoch))
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.keys() == [b"esper:digits"]
        assert 100 <= client.xlen("esper:digits") <= 300
    sink.close(SUMMARY)


def test_where_no_server_is_the_run_is_warned_once_and_goes_on(
    tmp_path: Path, move: Any, line: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("redis")
    sink = sink_of(Redis(url="redis://:secret@127.0.0.1:1/0"), tmp_path)
    with caplog.at_level(logging.WARNING):
        play(EventBus(Jsonl(tmp_path), sink), move, line)
    assert len(caplog.records) == 1
    assert (
        caplog.records[0]
        .getMessage()
        .startswith("logger.url redis://:***@127.0.0.1:1/0 cannot be used: ")
    )
    recovered = [each for each in lines(tmp_path / "events.jsonl") if each["kind"] == "recovery"]
    assert [(each["where"], each["epoch"]) for each in recovered] == [("stream", 1)]


def test_a_server_that_comes_back_gets_what_waited_and_what_was_dropped_is_counted(
    redis_server: RedisServer, tmp_path: Path, move: Any
) -> None:
    import redis

    event = move()
    sink = sink_of(Redis(url=redis_server.url, stream="s"), tmp_path)
    sink.start(FACTS)
    redis_server.kill()
    for _ in range(10_200):
        sink.event(event)
    redis_server.start()
    sink.close(SUMMARY)
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        messages = client.xrange("s")
    numbers = [int(fields["number"]) for _, fields in messages]
    assert numbers == list(range(203, 10_203)), "the start was sent, 201 of the rest were too many"
    assert messages[-1][1]["dropped"] == "201"


def test_a_server_that_hangs_costs_one_time_limit(
    redis_server: RedisServer, tmp_path: Path, line: Any
) -> None:
    sink = sink_of(Redis(url=redis_server.url, timeout_s=0.2), tmp_path)
    sink.start(FACTS)
    redis_server.pause()
    began = time.monotonic()
    for epoch in range(1, 101):
        sink.epoch(line(epoch=epoch))
    assert 0.2 <= time.monotonic() - began < 5, "one of 100 epochs waited, not each"
    assert [each.error for each in sink.drain()] == ["TimeoutError"]
    redis_server.kill()
    sink.close(SUMMARY)


def test_a_run_that_never_started_leaves_no_stream(
    redis_url: str, stream: str, client: Any, tmp_path: Path
) -> None:
    sink_of(Redis(url=redis_url, stream=stream), tmp_path).close(None)
    assert client.exists(stream) == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"url": "http://localhost"}, r"logger\.url must be like redis://"),
        ({"stream": ""}, r"logger\.stream must be a name"),
        ({"maxlen": 0}, r"logger\.maxlen must be >= 1, got 0"),
        ({"timeout_s": -1}, r"logger\.timeout_s must be > 0, got -1"),
    ],
)
def test_an_option_that_could_not_work_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Redis(**values)
