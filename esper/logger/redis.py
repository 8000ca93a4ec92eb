"""A run as a Redis stream, which other processes follow, alone or as consumer groups.

A message has flat fields: `run` (its folder), `number` (1, 2, 3, ... within the run), `type` and
`body`, which is JSON; by type

    start   body: the run's facts, its configuration among them
    event   epoch, kind, time; body: the line of events.jsonl
    epoch   epoch; body: the line of metrics.jsonl
    end     status, dropped; body: the summary, null when the run failed

A message that the server took without our hearing of it is sent again with the same number, and a
resumed run begins with another `start`; a gap in the numbers is what was dropped while the server
was away.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esper.contracts.event import Event, Recovery, Sink
from esper.logger.serialise import event_record, now, plain
from esper.remote import redis
from esper.remote.outbox import LIMIT, PAGE, Outbox

Message = dict[str, str | int]


@dataclass(frozen=True)
class Redis:
    """Publishes to the stream `stream` of a Redis server.

    url: None is `ESPER_REDIS_URL`, or else a server on this machine.
    stream: None is `esper:<name of the run>`.
    maxlen: how many messages the stream holds, about; the oldest go first.
    timeout_s: longest wait for an answer.
    """

    url: str | None = None
    stream: str | None = None
    maxlen: int = 100_000
    timeout_s: float = 0.5

    def __post_init__(self) -> None:
        redis.check("logger", self.url, self.timeout_s)
        if self.stream == "":
            raise ValueError("logger.stream must be a name, got ''")
        if self.maxlen < 1:
            raise ValueError(f"logger.maxlen must be >= 1, got {self.maxlen}")

    def build(self, run_dir: Path) -> list[Sink]:
        """Return the one sink; whether a server answers is seen when the run starts.

        Raises:
            ConfigError: if the library is missing.
        """
        url = redis.address(self.url)
        client = redis.connect("logger=redis", url, self.timeout_s)
        return [RedisSink(self, client, url, run_dir)]


class RedisSink:
    """Keeps messages until an epoch ends, then adds them to the stream at once.

    stream: its name, known once the run started.
    """

    name = "Redis stream"

    def __init__(self, option: Redis, client: Any, url: str, run_dir: Path) -> None:
        self.stream = option.stream or ""
        self._maxlen = option.maxlen
        self._client, self._url = client, url
        self._run, self._number = str(run_dir), 0
        self._outbox: Outbox[Message] = Outbox(self._deliver, "stream")

    def start(self, run: dict[str, Any]) -> None:
        """Publish the run's facts."""
        self.stream = self.stream or f"esper:{run.get('name') or 'run'}"
        self._run = str(run.get("run_dir") or self._run)
        self._outbox.send([self._message("start", run)])

    def event(self, event: Event) -> None:
        """Keep one event until the epoch ends, or until many wait."""
        record = event_record(event, now())
        known = {name: record[name] for name in ("epoch", "kind", "time")}
        self._outbox.keep([self._message("event", record, **known)])
        if len(self._outbox) >= PAGE:
            self._outbox.send(())

    def epoch(self, line: dict[str, Any]) -> None:
        """Publish the events that wait, then the epoch's line."""
        self._outbox.send([self._message("epoch", line, epoch=line["epoch"])])

    def drain(self) -> list[Recovery]:
        """Return the outages since the last call."""
        return self._outbox.drain()

    def close(self, summary: dict[str, Any] | None) -> None:
        """Publish what waits and how the run ended, and let go of the connection."""
        if self._number:  # a run that never started has nothing to end
            status = "failed" if summary is None else str(summary.get("status", "finished"))
            dropped = self._outbox.dropped + (len(self._outbox) == LIMIT)  # it takes a place too
            self._outbox.keep([self._message("end", summary, status=status, dropped=dropped)])
            self._outbox.close()
        self._client.close()

    def _message(self, word: str, body: Any, **known: str | int) -> Message:
        self._number += 1
        text = json.dumps(plain(body), allow_nan=False, ensure_ascii=False)
        return {"run": self._run, "number": self._number, "type": word, **known, "body": text}

    def _deliver(self, messages: Sequence[Message]) -> None:
        with redis.told("logger.url", self._url):
            pipeline = self._client.pipeline()
            for message in messages:
                pipeline.xadd(self.stream, message, maxlen=self._maxlen, approximate=True)
            pipeline.execute()
