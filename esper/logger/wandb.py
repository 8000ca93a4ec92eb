"""Weights & Biases: a row per epoch, tables at the end; offline unless the user is logged in.

A call takes a millisecond, because it wakes W&B's own thread.  Rows are buffered until the last
call was a second ago, so that logging does not slow short epochs.

Nothing here prompts.  W&B's changes to the environment, `sys.exit` and `sys.excepthook` are undone,
so that child processes do not inherit its service.
"""

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from esper.contracts.checks import require, require_one_of
from esper.contracts.errors import ConfigError
from esper.contracts.event import Event, EventKind
from esper.logger.alerts import alert_of
from esper.logger.base import Sink
from esper.logger.format import scored
from esper.logger.login import is_logged_in, is_reachable
from esper.logger.scalars import EventNumbers, scalars
from esper.logger.serialise import event_record, now, plain

_MODES = ("auto", "offline", "online", "disabled")
_ROWS = 10_000
_SHORTEST_S = 1.0
_INIT_TIMEOUT_S = 10.0
_FINISH_TIMEOUT_S = 60.0

_COLUMNS = {
    EventKind.DECISION: "epoch decision_kind slot seed adaptation confidence urgency risk reason",
    EventKind.SAFETY: "epoch rule reason decision.slot decision.kind",
    EventKind.PLAN: "epoch slot plan_kind expected_improvement risk reasoning",
    EventKind.SELECTION: "epoch strategy slot seed blueprint score alternatives reason",
    EventKind.LIFECYCLE: "epoch slot seed blueprint from_stage to_stage gate.passed reason",
    EventKind.REWARD: "epoch outcome.slot outcome.seed outcome.blueprint outcome.fossilized "
    "outcome.gain outcome.gain_error reward.total reward.confidence reward.explanation "
    "epochs_after_keeping",
    EventKind.LEDGER: "epoch slot seed blueprint trials mean_reward standard_error reward "
    "history.activations history.grafts history.failures history.activated_epoch",
    EventKind.RECOVERY: "epoch where strategy error slot seed blueprint count recovered message",
    EventKind.GOVERNOR: "epoch action reason val_loss limit restored_epoch rollbacks culled",
}
TABLES = {kind: columns.split() for kind, columns in _COLUMNS.items()}
"""The columns of each table, as paths into a line of events.jsonl."""
PROMISES = ["epoch", "slot", "seed", "blueprint", "expected_gain", "measured_gain"]
"""The columns of the table of germinations of which a gain was expected."""


@dataclass(frozen=True)
class Wandb:
    """Logs to Weights & Biases.

    mode: `auto` is online if the user is logged in and the server answers, else offline.
    group: name shared by several runs; None takes the sweep's.
    """

    project: str = "esper"
    entity: str | None = None
    mode: str = "auto"
    tags: tuple[str, ...] = ()
    group: str | None = None
    job_type: str = "train"

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", tuple(self.tags))
        require_one_of("logger.mode", self.mode, _MODES)
        require(self.project != "", "logger.project", "a name", "''")

    def build(self, run_dir: Path) -> list[Sink]:
        """Return one sink; none if the mode or `WANDB_MODE` is `disabled`.

        Raises:
            ConfigError: if the mode is online and the user is not logged in.
        """
        asked = os.environ.get("WANDB_MODE") if self.mode == "auto" else self.mode
        if asked == "disabled":
            return []
        if self.mode == "online" and not is_logged_in():
            raise ConfigError(
                "logger.mode is online, but there is no login to Weights & Biases: "
                "run `wandb login`, set WANDB_API_KEY, or use logger.mode=auto"
            )
        online = asked not in ("offline", "dryrun") and (
            self.mode == "online" or (is_logged_in() and is_reachable())
        )
        return [WandbSink(self, run_dir, online=online)]


class WandbSink:
    """One W&B run."""

    name = "Weights & Biases"

    def __init__(self, option: Wandb, run_dir: Path, *, online: bool) -> None:
        self._option = option
        self._run_dir = run_dir
        self._online = online
        self._run: Any = None
        self._numbers = EventNumbers()
        self._waiting: list[dict[str, Any]] = []
        self._next_call = 0.0
        self._rows: dict[EventKind, deque[list[Any]]] = {k: deque(maxlen=_ROWS) for k in TABLES}

    def start(self, run: dict[str, Any]) -> None:
        """Open the W&B run."""
        facts = {
            "dir": str(self._run_dir),
            "project": self._option.project,
            "entity": self._option.entity,
            "name": run.get("name"),
            "group": self._option.group or run.get("sweep"),
            "job_type": self._option.job_type,
            "tags": self._option.tags or None,
            "config": plain(run.get("config") or {}),
            "id": _run_id(self._run_dir),
        }
        with _undo_changes():
            self._run = _open(facts, online=self._online)

    def event(self, event: Event) -> None:
        """Count the event, keep its row for the table that `close` logs, and send an alert."""
        self._numbers.take(event)
        if event.kind in TABLES:
            record = event_record(event, now())
            self._rows[event.kind].append([_cell(record, path) for path in TABLES[event.kind]])
        if alert := alert_of(event):
            self._run.alert(alert.title, alert.text, level=alert.level)

    def epoch(self, line: dict[str, Any]) -> None:
        """Buffer the epoch's numbers; log what is buffered if the last call was a second ago."""
        head = {"epoch": line["epoch"], "_timestamp": time.time()}
        self._waiting.append(scalars(line) | self._numbers.of_epoch() | head)
        if time.monotonic() >= self._next_call:
            self._log_waiting(self._run)

    def close(self, summary: dict[str, Any] | None) -> None:
        """Log tables and summary and finish the run, as failed if there is no summary."""
        if self._run is None:
            return
        run, self._run = self._run, None
        with _undo_changes():
            try:
                self._conclude(run, summary or {})
            finally:
                run.finish(exit_code=1 if summary is None else 0)

    def _log_waiting(self, run: Any) -> None:
        rows, self._waiting = self._waiting, []
        for row in rows:
            run.log(row, step=row["epoch"])
        self._next_call = time.monotonic() + _SHORTEST_S

    def _conclude(self, run: Any, summary: dict[str, Any]) -> None:
        import wandb

        self._log_waiting(run)
        tables = {
            f"events/{kind}": wandb.Table(TABLES[kind], list(rows), allow_mixed_types=True)
            for kind, rows in self._rows.items()
            if rows
        }
        if made := self._numbers.promises.made:
            rows = [list(astuple(each)) for each in made]
            tables["events/promise"] = wandb.Table(PROMISES, rows, allow_mixed_types=True)
        if tables:
            run.log(tables)
        run.summary.update({key: plain(value) for key, value in summary.items()})


def _open(facts: dict[str, Any], *, online: bool) -> Any:
    """Return the W&B run; an offline one if the server refuses or does not answer."""
    import wandb

    settings = wandb.Settings(
        console="off", silent=True, init_timeout=_INIT_TIMEOUT_S, finish_timeout=_FINISH_TIMEOUT_S
    )
    common = {"settings": settings, "reinit": "create_new"}
    if online:
        try:
            return wandb.init(**facts, **common, mode="online", resume="allow")
        except wandb.errors.Error as error:
            wandb.termwarn(f"logging offline: {str(error).splitlines()[0]}")
            # W&B keeps the refused id reserved until the process ends.
            facts = facts | {"id": uuid4().hex[:12]}
    return wandb.init(**facts, **common, mode="offline")


def _run_id(run_dir: Path) -> str:
    """Return the run's id at W&B: drawn once and kept in the run's folder for a resumed run."""
    path = run_dir / "wandb" / "run_id"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{uuid4().hex[:12]}\n", encoding="ascii")
    return path.read_text(encoding="ascii").strip()


def _cell(record: dict[str, Any], path: str) -> Any:
    value: Any = record
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return scored(value) if isinstance(value, list) else value


@contextmanager
def _undo_changes() -> Iterator[None]:
    """Undo what W&B changes in the process; it sends no error reports unless the user asks."""
    environment = dict(os.environ)
    leave, excepthook = sys.exit, sys.excepthook
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    try:
        yield
    finally:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        sys.exit, sys.excepthook = leave, excepthook
