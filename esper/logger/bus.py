"""The event bus passes every event and every epoch's line to sinks and subscribers, in order.

The bus removes a sink that raises, with one warning, and training continues.  A sink whose class
has `essential = True` is part of the run (the JSONL files): its `OSError` stops the run.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from esper.contracts.errors import EsperError
from esper.contracts.event import Event, EventKind
from esper.logger.base import Sink

_log = logging.getLogger(__name__)


class EventBus:
    """Publishes to sinks in the order in which they were added.

    failures: `<sink>: <error>` of each sink that the bus removed, oldest first.
    """

    def __init__(self, *sinks: Sink) -> None:
        self._sinks: list[Sink] = list(sinks)
        self.failures: list[str] = []

    def subscribe(
        self, callback: Callable[[Event], None], kinds: Iterable[EventKind] | None = None
    ) -> None:
        """Call `callback` with every later event whose kind is among `kinds` (None: all)."""
        self._sinks.append(_Subscriber(callback, frozenset(EventKind if kinds is None else kinds)))

    def start(self, run: dict[str, Any]) -> None:
        """Pass the run's facts to every sink."""
        self._each(lambda sink: sink.start(run))

    def publish(self, event: Event) -> None:
        """Pass one event to every sink and subscriber."""
        self._each(lambda sink: sink.event(event))

    def epoch(self, line: dict[str, Any]) -> None:
        """Pass one epoch's line to every sink, then publish the outages that sinks report."""
        self._each(lambda sink: sink.epoch(line))
        for sink in tuple(self._sinks):
            for recovery in getattr(sink, "drain", list)():
                self.publish(Event(epoch=line["epoch"], body=recovery))

    def close(self, summary: dict[str, Any] | None) -> None:
        """Close every sink once, even if another fails; a second call does nothing."""
        sinks, self._sinks = self._sinks, []
        errors = []
        for sink in sinks:
            try:
                self._guarded(sink, lambda sink: sink.close(summary))
            except EsperError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _each(self, call: Callable[[Sink], None]) -> None:
        for sink in tuple(self._sinks):
            self._guarded(sink, call)

    def _guarded(self, sink: Sink, call: Callable[[Sink], None]) -> None:
        try:
            call(sink)
        except Exception as error:  # a user's sink must not stop training
            if not getattr(sink, "essential", False):
                self._remove(sink, error)
            elif isinstance(error, OSError):
                where = error.filename or type(sink).__name__
                raise EsperError(f"cannot write {where}: {error.strerror or error}") from error
            else:
                raise

    def _remove(self, sink: Sink, error: Exception) -> None:
        name = getattr(sink, "name", type(sink).__name__)
        words = f"{type(error).__name__}: {error}"
        self.failures.append(f"{name}: {words}")
        _log.warning("%s was cut off and takes no more of this run: %s", name, words)
        if sink not in self._sinks:
            return
        self._sinks.remove(sink)
        try:
            sink.close(None)
        except Exception as second:  # noqa: BLE001 - the first error has been reported
            _log.debug("%s failed again when it was closed: %s", name, second)


class _Subscriber:
    """A sink that calls a function with the events of some kinds."""

    def __init__(self, callback: Callable[[Event], None], kinds: frozenset[EventKind]) -> None:
        self.name = f"subscriber {getattr(callback, '__qualname__', repr(callback))}"
        self._callback = callback
        self._kinds = kinds

    def start(self, run: dict[str, Any]) -> None:
        """Do nothing."""

    def event(self, event: Event) -> None:
        """Call the function if the event is of one of the kinds."""
        if event.kind in self._kinds:
            self._callback(event)

    def epoch(self, line: dict[str, Any]) -> None:
        """Do nothing."""

    def close(self, summary: dict[str, Any] | None) -> None:
        """Do nothing."""
