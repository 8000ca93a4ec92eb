"""Buffer writes to a remote that may be down.  Never blocks training for long.

After a failure the remote gets no attempt for `REST_S`, so an outage costs one time limit every
`REST_S`, one warning and one event.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Generic, TypeVar

from esper.contracts.errors import DataError
from esper.contracts.event import Recovery

LIMIT = 10_000
"""Number of items buffered at most; beyond it the oldest are dropped."""

PAGE = 500
"""Number of items delivered at once."""

REST_S = 30.0
"""Time without attempts after a failure."""

_log = logging.getLogger(__name__)
_Item = TypeVar("_Item")


class Outbox(Generic[_Item]):
    """Delivers items in order, now or later.

    dropped: number of items dropped because too many were buffered.

    Args:
        deliver: sends up to 500 items, or raises `DataError`; it may get the same ones again.
        where: `store` or `stream`, as in `Recovery`.
    """

    def __init__(self, deliver: Callable[[Sequence[_Item]], None], where: str) -> None:
        self.dropped = 0
        self._deliver, self._where = deliver, where
        self._retry_at_s: float | None = None
        self._buffer: deque[_Item] = deque()
        self._recoveries: list[Recovery] = []
        self._has_warned = False

    def __len__(self) -> int:
        """Return the number of buffered items."""
        return len(self._buffer)

    def send(self, items: Sequence[_Item]) -> None:
        """Buffer `items`, then deliver the buffer unless the remote failed a short while ago."""
        self.keep(items)
        if self._retry_at_s is None or time.monotonic() >= self._retry_at_s:
            self._attempt()

    def keep(self, items: Sequence[_Item]) -> None:
        """Buffer `items` for the next attempt."""
        self._buffer.extend(items)
        while len(self._buffer) > LIMIT:
            self._buffer.popleft()
            self.dropped += 1

    def close(self) -> None:
        """Try one last time to deliver the buffer, even right after a failure."""
        self._attempt()

    def drain(self) -> list[Recovery]:
        """Return the outages since the last call, oldest first."""
        outages, self._recoveries = self._recoveries, []
        return outages

    def _attempt(self) -> None:
        while self._buffer:
            page = list(islice(self._buffer, PAGE))
            try:
                self._deliver(page)
            except DataError as error:
                self._note(error)
                return
            for _ in page:
                self._buffer.popleft()
        if self._retry_at_s is not None:
            _log.info("the %s is back and has every buffered item", self._where)
        self._retry_at_s = None

    def _note(self, error: DataError) -> None:
        was_down = self._retry_at_s is not None
        self._retry_at_s = time.monotonic() + REST_S
        if was_down:
            return
        message = f"{error}; the run continues and buffers its writes to the {self._where}"
        if not self._has_warned:
            self._has_warned = True
            _log.warning("%s", message)
        self._recoveries.append(
            Recovery(
                where=self._where,
                error=type(error.__cause__ or error).__name__,
                strategy="circuit_breaker",
                recovered=True,
                message=message,
            )
        )
