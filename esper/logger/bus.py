"""The event bus: hands every event and every epoch's line to sinks and subscribers, in order.

A sink that raises is cut off with one warning and never stops training.  A sink whose class says
`essential = True` is part of the run (the JSONL files): its `OSError` stops the run with one line.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from esper.contracts.errors import EsperError
from esper.contracts.event import Event, EventKind, Sink

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkFailure:
    """Why a sink was cut off."""

    sink: str
    error: str


class EventBus:
    """Publishes to sinks in the order in which they came; later ones see what earlier ones saw.

    failures: the sinks cut off so far, oldest first.
    """

    def __init__(self, *sinks: Sink) -> None:
        self._sinks: list[Sink] = list(sinks)
        self.failures: list[SinkFailure] = []

    def subscribe(
        self, callback: Callable[[Event], None], kinds: Iterable[EventKind] | None = None
    ) -> None:
        """Call `callback` with every event from now on whose kind is among `kinds` (None: all)."""
        topics = frozenset(EventKind) if kinds is None else frozenset(kinds)
        self._sinks.append(_Subscriber(callback, topics))

    def start(self, run: dict[str, Any]) -> None:
        """Hand the run's facts to every sink."""
        for sink in tuple(self._sinks):
            self._guarded(sink, lambda sink: sink.start(run))

    def publish(self, event: Event) -> None:
        """Hand one event to every sink and subscriber."""
        for sink in tuple(self._sinks):
            self._guarded(sink, lambda sink: sink.event(event))

    def epoch(self, line: dict[str, Any]) -> None:
        """Hand one epoch's line to every sink, then tell what failed in one and was mended."""
        for sink in tuple(self._sinks):
            self._guarded(sink, lambda sink: sink.epoch(line))
        self._tell_recoveries(line["epoch"])

    def close(self, summary: dict[str, Any] | None) -> None:
        """Close every sink once, whatever the others do; a second call does nothing."""
        sinks, self._sinks = self._sinks, []
        stop: EsperError | None = None
        for sink in sinks:
            try:
                self._guarded(sink, lambda sink: sink.close(summary))
            except EsperError as error:
                stop = stop or error
        if stop is not None:
            raise stop

    def _tell_recoveries(self, epoch: int) -> None:
        for sink in tuple(self._sinks):
            for recovery in getattr(sink, "drain", list)():
                self.publish(Event(epoch=epoch, body=recovery))

    def _guarded(self, sink: Sink, call: Callable[[Sink], None]) -> None:
        if getattr(sink, "essential", False):
            try:
                call(sink)
            except OSError as error:
                where = error.filename or type(sink).__name__
                raise EsperError(f"cannot write {where}: {error.strerror or error}") from error
            return
        try:
            call(sink)
        except Exception as error:  # noqa: BLE001 - a sink is others' code and must not stop training
            self._cut_off(sink, error)

    def _cut_off(self, sink: Sink, error: Exception) -> None:
        name = getattr(sink, "name", type(sink).__name__)
        failure = SinkFailure(sink=name, error=f"{type(error).__name__}: {error}")
        self.failures.append(failure)
        _log.warning("%s was cut off and takes no more of this run: %s", name, failure.error)
        if sink not in self._sinks:
            return
        self._sinks.remove(sink)
        try:
            sink.close(None)
        except Exception as second:  # noqa: BLE001 - it is broken already, and has been told of
            _log.debug("%s failed again when it was closed: %s", name, second)


class _Subscriber:
    """A callback, seen as a sink."""

    def __init__(self, callback: Callable[[Event], None], kinds: frozenset[EventKind]) -> None:
        self.name = f"subscriber {getattr(callback, '__qualname__', repr(callback))}"
        self._callback = callback
        self._kinds = kinds

    def start(self, run: dict[str, Any]) -> None:
        """Take nothing."""

    def event(self, event: Event) -> None:
        """Pass the event on if it is of a kind asked for."""
        if event.kind in self._kinds:
            self._callback(event)

    def epoch(self, line: dict[str, Any]) -> None:
        """Take nothing."""

    def close(self, summary: dict[str, Any] | None) -> None:
        """Do nothing: the callback holds nothing of ours."""
