"""Publish a run as a Redis stream, which other processes read alone or as consumer groups.

A message has flat fields: `run` (its folder), `number` (1, 2, 3, ... within the run), `type` and
`body`, which is JSON; by type

    start   body: the run's facts, its configuration among them
    event   epoch, kind, time; body: the line of events.jsonl
    epoch   epoch; body: the line of metrics.jsonl
    end     status, dropped; body: the summary, null when the run failed

A message whose confirmation was lost is sent again under its number.  A resumed run begins with
another `start`.  A gap in the numbers means messages dropped while the server was away.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esper.contracts.checks import require
from esper.contracts.event import Event, Recovery
from esper.logger.base import Sink
from esper.logger.serialise import event_record, now, plain
from esper.remote.outbox import LIMIT, PAGE, Outbox
from esper.remote.redis import address, check, connect, redis_errors

Message = dict[str, str | int]


@dataclass(frozen=True)
class Redis:
    """Publishes to the stream `stream` of a Redis server.

    url: None is `ESPER_REDIS_URL`, or else a server on this machine.
    stream: None is `esper:<name of the run>`.
    maxlen: approximate number of messages that the stream holds; the server drops the oldest.
    timeout_s: longest wait for an answer.
    """

    url: str | None = None
    stream: str | None = None
    maxlen: int = 100_000
    timeout_s: float = 0.5

    def __post_init__(self) -> None:
        check("logger", self.url, self.timeout_s)
        require(self.stream != "", "logger.stream", "a name", "''")
        require(self.maxlen >= 1, "logger.maxlen", ">= 1", self.maxlen)

    def build(self, run_dir: Path) -> list[Sink]:
        """Return one sink, which connects when the run starts; raises as `Logger.build`."""
        url = address(self.url)
        client = connect("logger=redis", url, self.timeout_s)
        return [RedisSink(self, client, url, run_dir)]


class RedisSink:
    """Buffers messages until an epoch ends, then adds them to the stream at once.

    stream: name of the stream, known once the run has started.
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
        """Buffer one event until the epoch ends, or until 500 messages are buffered."""
        record = event_record(event, now())
        head = {name: record[name] for name in ("epoch", "kind", "time")}
        self._outbox.keep([self._message("event", record, **head)])
        if len(self._outbox) >= PAGE:
            self._outbox.send(())

    def epoch(self, line: dict[str, Any]) -> None:
        """Publish the buffered events, then the epoch's line."""
        self._outbox.send([self._message("epoch", line, epoch=line["epoch"])])

    def drain(self) -> list[Recovery]:
        """Return the outages since the last call."""
        return self._outbox.drain()

    def close(self, summary: dict[str, Any] | None) -> None:
        """Publish the buffered messages and how the run ended, and close the connection."""
        if self._number:  # else the run never started
            status = "failed" if summary is None else str(summary.get("status", "finished"))
            dropped = self._outbox.dropped + (len(self._outbox) == LIMIT)  # `end` displaces one
            self._outbox.keep([self._message("end", summary, status=status, dropped=dropped)])
            self._outbox.close()
        self._client.close()

    def _message(self, word: str, body: Any, **head: str | int) -> Message:
        self._number += 1
        text = json.dumps(plain(body), allow_nan=False, ensure_ascii=False)
        return {"run": self._run, "number": self._number, "type": word, **head, "body": text}

    def _deliver(self, messages: Sequence[Message]) -> None:
        with redis_errors("logger.url", self._url):
            pipeline = self._client.pipeline()
            for message in messages:
                pipeline.xadd(self.stream, message, maxlen=self._maxlen, approximate=True)
            pipeline.execute()
