"""What is on its way to something that may be down waits here, and no run waits for it.

The other end is left alone for a while after it failed: an outage costs one time limit every
`REST_S`, one warning and one event.  A clock says when to try again; nothing of a run follows from
it.
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
"""Items that wait at most; beyond it the oldest are given up."""

PAGE = 500
"""Items that are handed over at once."""

REST_S = 30.0
"""How long the other end is left alone after it failed."""

_log = logging.getLogger(__name__)
_Item = TypeVar("_Item")


class Outbox(Generic[_Item]):
    """Delivers items in order, now or later.

    dropped: how many were given up because too many waited.

    Args:
        deliver: hands on up to 500 items, or raises `DataError`; it may get the same ones again.
        where: what they are for, as in `Recovery`: `store` or `stream`.
        rest_s: see `REST_S`.
        limit: see `LIMIT`.
    """

    def __init__(
        self,
        deliver: Callable[[Sequence[_Item]], None],
        where: str,
        rest_s: float = REST_S,
        limit: int = LIMIT,
    ) -> None:
        self.dropped = 0
        self._deliver, self._where, self._limit = deliver, where, limit
        self._rest_s = rest_s
        self._retry_at_s: float | None = None
        self._waiting: deque[_Item] = deque()
        self._recoveries: list[Recovery] = []
        self._has_warned = False

    def __len__(self) -> int:
        """Return how many items wait."""
        return len(self._waiting)

    def send(self, items: Sequence[_Item]) -> None:
        """Deliver `items` and what waits; what cannot be delivered waits on."""
        self.keep(items)
        if self._retry_at_s is None or time.monotonic() >= self._retry_at_s:
            self._attempt()

    def keep(self, items: Sequence[_Item]) -> None:
        """Let `items` wait for the next attempt."""
        self._waiting.extend(items)
        while len(self._waiting) > self._limit:
            self._waiting.popleft()
            self.dropped += 1

    def close(self) -> None:
        """Try one last time to deliver what waits, however short ago it failed."""
        if self._waiting:
            self._attempt()

    def drain(self) -> list[Recovery]:
        """Return the outages since the last call, oldest first; each is told once."""
        told, self._recoveries = self._recoveries, []
        return told

    def _attempt(self) -> None:
        while self._waiting:
            page = list(islice(self._waiting, PAGE))
            try:
                self._deliver(page)
            except DataError as error:
                self._note(error)
                return
            for _ in page:
                self._waiting.popleft()
        if self._retry_at_s is not None:
            _log.info("the %s is back and has everything that waited", self._where)
        self._retry_at_s = None

    def _note(self, error: DataError) -> None:
        was_down = self._retry_at_s is not None
        self._retry_at_s = time.monotonic() + self._rest_s
        if was_down:
            return
        message = (
            f"{error}; the run goes on, and what it has for the {self._where} waits, "
            "at most until it ends"
        )
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
