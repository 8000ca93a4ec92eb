"""A store on a Redis server, shared by runs, processes and machines.

Entries are a stream, `<key>:ledger:4`, so that all readers see one order and can read page by page
while others add.  A later message replaces an earlier one of the same (run, event).  The hash
`<key>:ledger:4:keys` has the last entry of every (run, event).  A script, which the server runs as
one step, checks the hash and adds to both what differs.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from esper.contracts.checks import require
from esper.contracts.errors import DataError
from esper.contracts.event import Recovery
from esper.contracts.ledger import LedgerEntry
from esper.remote.outbox import Outbox
from esper.remote.redis import address, check, connect, redis_errors, shown
from esper.store.codec import to_entry, to_json
from esper.store.prior import SHIPPED, check_prior

_SCHEMA = 4
_PAGE = 500
_FIELD = "entry"
_ADD = f"""
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[2], ARGV[i]) ~= ARGV[i + 1] then
    redis.call('XADD', KEYS[1], '*', '{_FIELD}', ARGV[i + 1])
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  end
end
"""


@dataclass(frozen=True)
class Redis:
    """Keeps the ledger on a Redis server (6.2 or later).

    url: None is `ESPER_REDIS_URL`, or else a server on this machine.
    key: prefix of the names of its keys.
    timeout_s: longest wait for an answer.
    prior: as in `StoreOption`.
    """

    url: str | None = None
    key: str = "esper"
    timeout_s: float = 0.5
    prior: str = SHIPPED

    def __post_init__(self) -> None:
        check("store", self.url, self.timeout_s)
        require(self.key != "", "store.key", "a name", "''")
        check_prior(self.prior)

    def open(self) -> "RedisStore":
        """Return the store.

        Raises:
            ConfigError: if the library is missing.
            DataError: if no server answers, or it refuses the login.
        """
        url = address(self.url)
        client = connect("store=redis", url, self.timeout_s)
        try:
            with redis_errors("store.url", url):
                client.ping()
        except DataError as error:
            client.close()
            raise DataError(f"{error} (start one: redis-server; or take store=sqlite)") from error
        return RedisStore(client, url, self.key)


class RedisStore:
    """Entries in the stream `<key>:ledger:4` of the server behind `client`."""

    def __init__(self, client: Any, url: str, key: str) -> None:
        self.stream = f"{key}:ledger:{_SCHEMA}"
        self._client, self._url = client, url
        self._add = client.register_script(_ADD)
        self._outbox: Outbox[LedgerEntry] = Outbox(self._deliver, "store")

    def load(self) -> list[LedgerEntry]:
        """Return every entry that is there now, oldest first; raises as `Store.load`."""
        where = f"key {self.stream} of {shown(self._url)} holds something that is no entry"
        with redis_errors(f"store.url (key {self.stream})", self._url):
            entries = [
                to_entry(values.get(_FIELD, "null"), f"{where} ({number})")
                for number, values in self._records()
            ]
        return list({(entry.run, entry.event): entry for entry in entries}.values())

    def write(self, entries: Sequence[LedgerEntry]) -> None:
        """Add or replace `entries`, now or later."""
        self._outbox.send(entries)

    def drain(self) -> list[Recovery]:
        """Return the outages since the last call."""
        return self._outbox.drain()

    def close(self) -> None:
        """Write buffered entries and close the connection; a second call does nothing."""
        self._outbox.close()
        self._client.close()

    def _records(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield (id, fields) of every message that the stream has at the first call."""
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
        with redis_errors("store.url", self._url):
            self._add(
                keys=[self.stream, f"{self.stream}:keys"],
                args=[text for pair in pairs for text in pair],
            )
