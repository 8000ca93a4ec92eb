"""A store on a Redis server, shared by runs, processes and machines.

Entries are a stream, `<key>:ledger:1`, so that they have one order whoever writes, and a run can
read them page by page while others add.  The set `<key>:ledger:1:keys` holds which (run, event)
are in it.  A script looks into the set and adds to both: the server runs it as one step.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from esper.contracts.errors import DataError
from esper.contracts.event import Recovery
from esper.contracts.ledger import LedgerEntry
from esper.remote import redis
from esper.remote.outbox import Outbox
from esper.store.codec import to_entry, to_json

_SCHEMA = 1
_PAGE = 500
_FIELD = "entry"
_ADD = f"""
for i = 1, #ARGV, 2 do
  if redis.call('SISMEMBER', KEYS[2], ARGV[i]) == 0 then
    redis.call('XADD', KEYS[1], '*', '{_FIELD}', ARGV[i + 1])
    redis.call('SADD', KEYS[2], ARGV[i])
  end
end
"""


@dataclass(frozen=True)
class Redis:
    """Keeps the ledger on a Redis server (6.2 or later).

    url: None is `ESPER_REDIS_URL`, or else a server on this machine.
    key: what the names of its keys begin with.
    timeout_s: longest wait for an answer.
    """

    name: ClassVar[str] = "redis"

    url: str | None = None
    key: str = "esper"
    timeout_s: float = 0.5

    def __post_init__(self) -> None:
        redis.check("store", self.url, self.timeout_s)
        if not self.key:
            raise ValueError("store.key must not be empty, got ''")

    def open(self) -> "RedisStore":
        """Return the store.

        Raises:
            ConfigError: if the library is missing.
            DataError: if no server answers, or it does not let us in.
        """
        url = redis.address(self.url)
        client = redis.connect("store=redis", url, self.timeout_s)
        try:
            with redis.told("store.url", url):
                client.ping()
        except DataError as error:
            client.close()
            raise DataError(f"{error} (start one: redis-server; or take store=sqlite)") from error
        return RedisStore(client, url, self.key)


class RedisStore:
    """Entries in the stream `<key>:ledger:1` of the server behind `client`."""

    def __init__(self, client: Any, url: str, key: str) -> None:
        self.stream = f"{key}:ledger:{_SCHEMA}"
        self._client, self._url = client, url
        self._add = client.register_script(_ADD)
        self._outbox: Outbox[LedgerEntry] = Outbox(self._deliver, "store")

    def load(self) -> list[LedgerEntry]:
        """Return every entry that is there now, oldest first.

        Raises:
            DataError: if the server cannot be read, or the stream holds something that is no entry.
        """
        with redis.told(f"store.url (key {self.stream})", self._url):
            return [self._entry(number, values) for number, values in self._records()]

    def write(self, entries: Sequence[LedgerEntry]) -> None:
        """Keep `entries`, now or later; one whose key is known already changes nothing."""
        self._outbox.send(entries)

    def drain(self) -> list[Recovery]:
        """Return the outages since the last call."""
        return self._outbox.drain()

    def close(self) -> None:
        """Write what waits, and let go of the connection; closing twice does no harm."""
        self._outbox.close()
        self._client.close()

    def _records(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield (id, fields) of all that the stream holds at this moment."""
        newest = self._client.xrevrange(self.stream, count=1)
        first = "-"
        while newest:
            page = self._client.xrange(self.stream, first, newest[0][0], count=_PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            first = f"({page[-1][0]}"

    def _deliver(self, entries: Sequence[LedgerEntry]) -> None:
        pairs = [(json.dumps([entry.run, entry.event]), to_json(entry)) for entry in entries]
        with redis.told("store.url", self._url):
            self._add(
                keys=[self.stream, f"{self.stream}:keys"],
                args=[text for pair in pairs for text in pair],
            )

    def _entry(self, number: str, values: dict[str, str]) -> LedgerEntry:
        try:
            return to_entry(json.loads(values.get(_FIELD, "null")))
        except ValueError as error:
            where = f"key {self.stream} of {redis.shown(self._url)}"
            raise DataError(
                f"{where} holds something that is no entry ({number}): {error}"
            ) from error
