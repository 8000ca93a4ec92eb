"""Sinks receive everything in order; a failing one is removed, an essential one stops the run."""

import errno
import logging
from typing import Any

import pytest

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.errors import EsperError
from esper.contracts.event import Event, EventKind
from esper.logger.bus import EventBus

EVENT = Event(epoch=1, body=Decision(kind=DecisionKind.WAIT, reason="calm"))


class Listener:
    """Records its calls; raises `error` when `fails_at` is called."""

    def __init__(self, fails_at: str = "", error: Exception | None = None) -> None:
        self.heard: list[tuple[str, Any]] = []
        self.fails_at = fails_at
        self.error = error or RuntimeError("broken pipe dream")

    def _take(self, name: str, value: Any) -> None:
        self.heard.append((name, value))
        if name == self.fails_at:
            raise self.error

    def start(self, run: dict[str, Any]) -> None:
        self._take("start", run)

    def event(self, event: Event) -> None:
        self._take("event", event)

    def epoch(self, line: dict[str, Any]) -> None:
        self._take("epoch", line)

    def close(self, summary: dict[str, Any] | None) -> None:
        self._take("close", summary)


class Essential(Listener):
    essential = True


def play(bus: EventBus) -> None:
    bus.start({"name": "x"})
    bus.publish(EVENT)
    bus.epoch({"epoch": 1})
    bus.publish(EVENT)
    bus.close({"status": "finished"})


def test_every_sink_hears_everything_in_order() -> None:
    sinks = Listener(), Listener()
    play(EventBus(*sinks))
    for sink in sinks:
        assert [name for name, _ in sink.heard] == ["start", "event", "epoch", "event", "close"]
        assert sink.heard[-1] == ("close", {"status": "finished"})


@pytest.mark.parametrize("where", ["start", "event", "epoch"])
def test_a_broken_sink_is_cut_off_with_one_warning(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    broken, healthy = Listener(fails_at=where), Listener()
    bus = EventBus(broken, healthy)
    with caplog.at_level(logging.WARNING):
        play(bus)
    names = [name for name, _ in broken.heard]
    assert names.count(where) == 1
    assert broken.heard[-1] == ("close", None)
    assert [name for name, _ in healthy.heard] == ["start", "event", "epoch", "event", "close"]
    assert len(caplog.records) == 1
    assert "Listener was cut off" in caplog.text
    assert bus.failures == ["Listener: RuntimeError: broken pipe dream"]


def test_a_sink_that_breaks_again_when_closed_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Wreck(Listener):
        def _take(self, name: str, value: Any) -> None:
            raise RuntimeError(name)

    with caplog.at_level(logging.WARNING):
        play(EventBus(Wreck()))
    assert len(caplog.records) == 1


def test_a_full_disk_under_an_essential_sink_stops_the_run_with_one_line() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "runs/x/metrics.jsonl")
    bus = EventBus(Essential(fails_at="epoch", error=error))
    bus.start({})
    with pytest.raises(EsperError) as raised:
        bus.epoch({"epoch": 1})
    assert str(raised.value) == "cannot write runs/x/metrics.jsonl: No space left on device"
    assert bus.failures == []


def test_a_defect_of_an_essential_sink_is_not_hidden() -> None:
    bus = EventBus(Essential(fails_at="event", error=TypeError("a tensor")))
    with pytest.raises(TypeError, match="a tensor"):
        bus.publish(EVENT)


def test_closing_closes_every_sink_though_the_first_cannot_write() -> None:
    first = Essential(fails_at="close", error=OSError(errno.EIO, "Input/output error"))
    second = Listener()
    bus = EventBus(first, second)
    with pytest.raises(EsperError, match="cannot write Essential: Input/output error"):
        bus.close(None)
    assert second.heard == [("close", None)]
    bus.close(None)
    assert second.heard == [("close", None)], "closed once"


def test_an_interrupt_is_not_swallowed() -> None:
    class Interrupted(Listener):
        def epoch(self, line: dict[str, Any]) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        EventBus(Interrupted()).epoch({"epoch": 1})


def test_a_subscriber_hears_only_its_topics() -> None:
    heard: list[Event] = []
    every: list[Event] = []
    bus = EventBus()
    bus.subscribe(heard.append, kinds=[EventKind.SAFETY])
    bus.subscribe(every.append)
    play(bus)
    assert heard == []
    assert every == [EVENT, EVENT]


def test_a_subscriber_that_raises_is_cut_off_like_a_sink(caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def fail(event: Event) -> None:
        calls.append(event)
        raise ValueError("no")

    bus = EventBus()
    bus.subscribe(fail)
    with caplog.at_level(logging.WARNING):
        play(bus)
    assert len(calls) == 1
    assert bus.failures[0].startswith("subscriber ")
    assert bus.failures[0].endswith(": ValueError: no")
