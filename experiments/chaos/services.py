"""Kill a server or helper process of a run while it trains: Redis, or the process of W&B."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from random import Random
from types import FrameType

from experiments.chaos.child import run_command
from experiments.chaos.forks import forked
from experiments.chaos.left import compared, lines_of
from experiments.chaos.outcome import Outcome
from experiments.chaos.regions import Trigger, watch
from experiments.chaos.setting import Setting, is_finished, miscounted, recoveries

SERVER = shutil.which("redis-server")
START_S = 20.0
GONE_S = 10.0
POLL_S = 0.01
REGIONS = ("training", "control step", "record", "checkpoint")
WANDB = "wandb-core"
COMPARED = ("metrics.jsonl", "network.safetensors", "summary.json")


def has_redis() -> bool:
    """Return whether the Redis server and its client library are installed."""
    return SERVER is not None and find_spec("redis") is not None


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[tuple[str, int]]:
    """Run a private server; yield its url and its process id."""
    assert SERVER is not None, "see has_redis"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [SERVER, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", "."]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as server:
        try:
            _wait(lambda: _answers(port), START_S)
            yield f"redis://127.0.0.1:{port}/0", server.pid
        finally:
            server.kill()


def kill_redis(kind: str, faults: int, rng: Random, setting: Setting) -> Outcome:
    """Kill the server that keeps a run's ledger, or its events, while the run trains."""
    outcome = Outcome(kind)
    is_store = rng.random() < 0.5
    with redis_server(setting.folder) as (url, server):
        options = (
            ["store=redis", f"store.url={url}"]
            if is_store
            else ["logger=redis", f"logger.url={url}"]
        )
        died = _during(setting.command(options), partial(_kill, server), rng, setting)
    outcome.faults = int(died is not None)
    _check(outcome, setting)
    if died is not None and not outcome.is_lost:
        outcome.due = int(_is_missed(setting.run, is_store, died))
        outcome.reported = recoveries(setting.run, ["store", "stream"])
        warnings = setting.log.read_text(errors="replace").count("the run continues")
        if warnings != outcome.due:
            outcome.expect_none([f"{warnings} warnings: {setting.said()}"])
    return outcome


def kill_wandb(kind: str, faults: int, rng: Random, setting: Setting) -> Outcome:
    """Kill the helper process that W&B starts for a run."""
    outcome = Outcome(kind)
    command = [each for each in setting.command() if each != "logger=none"]
    os.environ["WANDB_MODE"] = "offline"
    died = _during([*command, "logger=wandb"], partial(_kill_children, WANDB), rng, setting)
    outcome.faults = int(died is not None)
    _check(outcome, setting)
    return outcome


def _check(outcome: Outcome, setting: Setting) -> None:
    if not is_finished(setting.run):
        outcome.lose(setting.said())
    else:
        outcome.expect_none(compared(setting.run, setting.reference, COMPARED))
        outcome.expect_none(miscounted(setting.run))


def _during(
    command: Sequence[str], kill: Callable[[], bool], rng: Random, setting: Setting
) -> datetime | None:
    """Run a command, and kill a process meanwhile; return when, None if the run ended before."""
    region = rng.choice(REGIONS)
    entry = rng.randrange(len(setting.calls[region]))
    calls = rng.randrange(setting.calls[region][entry])
    forked(partial(_with_kill, command, (region, entry, calls), kill, setting.place), setting.log)
    return datetime.fromisoformat(setting.place.read_text()) if setting.has_struck() else None


def _with_kill(
    command: Sequence[str], moment: tuple[str, int, int], kill: Callable[[], bool], place: Path
) -> int:
    def strike(frame: FrameType | None) -> None:
        if kill():
            place.write_text(datetime.now(UTC).isoformat())

    watch(Trigger(*moment, strike).around)
    return run_command(command)


def _is_missed(run: Path, is_store: bool, died: datetime) -> bool:
    """Return whether the run sent anything after the server died."""
    kinds = {"reward"} if is_store else {"checkpoint"}
    events = lines_of(run / "events.jsonl")
    times = [datetime.fromisoformat(e["time"]) for e in events if e["kind"] in kinds]
    return any(time > died for time in times)


def _kill(pid: int) -> bool:
    os.kill(pid, signal.SIGKILL)
    _wait(lambda: not _runs(pid), GONE_S)
    return True


def _kill_children(name: str) -> bool:
    """Kill all children of this process with a name; return whether there was one."""
    has_killed = False
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            facts = (process / "stat").read_text()
            command = facts[facts.index("(") + 1 : facts.rindex(")")]
            parent = int(facts[facts.rindex(")") + 2 :].split()[1])
            if parent == os.getpid() and command.startswith(name):
                has_killed = _kill(int(process.name))
    return has_killed


def _runs(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return facts[facts.rindex(")") + 2] not in "ZX"


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(5) == b"+PONG"
    except OSError:
        return False


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: if it does not hold within `seconds`.
    """
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(POLL_S)
