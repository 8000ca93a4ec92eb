"""A run that loses its Redis server ends as if nothing had happened, and says so once."""

import json
import logging
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from esper.config import RunConfig
from esper.contracts.event import Event
from esper.data.spirals import Spirals
from esper.logger.base import Sink
from esper.logger.redis import Redis as RedisLogger
from esper.model.mlp import MLP
from esper.options import OPTIONS
from esper.orchestrator.auto import Auto
from esper.policy.schedule import Schedule
from esper.run.run import run
from esper.safety.options import Safety
from esper.store.redis import Redis as RedisStore
from esper.strategy.viability import Viability
from esper.training.options import Training
from experiments.chaos.left import without_clock
from tests.integration.harness import Run
from tests.integration.in_process import code_of, only
from tests.redis_server import RedisServer

PAGE = (Path(__file__).parents[2] / "docs" / "stores.md").read_text(encoding="utf-8")
EPOCHS, LAST = 16, 6


@dataclass(frozen=True)
class Perishable:
    """The Redis logger, whose server is killed after epoch `LAST` was published.

    server: of the class, because the fields are saved in the run's config.
    """

    server: ClassVar[Any]

    option: RedisLogger

    def build(self, run_dir: Path) -> list[Sink]:
        return [*self.option.build(run_dir), Killer(self.server)]


class Killer:
    def __init__(self, server: RedisServer) -> None:
        self.server = server

    def start(self, run: dict[str, Any]) -> None:
        pass

    def event(self, event: Event) -> None:
        pass

    def epoch(self, line: dict[str, Any]) -> None:
        if line["epoch"] == LAST:
            self.server.kill()

    def close(self, summary: dict[str, Any] | None) -> None:
        pass


def config(server: RedisServer, logger: Any) -> RunConfig:
    return RunConfig(
        epochs=EPOCHS,
        data=Spirals(num_samples=300),
        model=MLP(),
        policy=Schedule(
            fractions=(0.08, 0.15, 0.22, 0.3, 0.4),
            max_live_seeds_per_slot=4,
            embargo_epochs_after_cull=0,
        ),
        orchestrator=Auto(adaptation_cooldown_epochs=0),
        viability=Viability(max_concurrent_seeds=4, min_dormant_epochs=0),
        training=Training(steps_per_epoch=8),
        safety=Safety(max_cost=99.0),
        store=RedisStore(url=server.url),
        logger=logger,
    )


def run_in(folder: Path, config: RunConfig) -> Run:
    folder.mkdir()
    run(config, folder)
    return Run(folder)


def lived(events: list[dict[str, Any]]) -> Any:
    """Return what happened to the network; a checkpoint's size follows its folder's name."""
    kinds = ("recovery", "checkpoint")
    return without_clock([event for event in events if event["kind"] not in kinds])


def test_a_server_that_dies_in_the_middle_changes_nothing_and_is_warned_of_once(
    redis_server: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import redis

    monkeypatch.setitem(OPTIONS["logger"], "perishable", Perishable)
    logger = RedisLogger(url=redis_server.url)
    served = run_in(tmp_path / "alive", config(redis_server, logger))
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        messages = client.xrange("esper:train")
        verdicts = [e for e in served.of("reward") if e["epochs_after_keeping"] is None]
        assert client.hlen("esper:ledger:4:keys") == len(verdicts) > 1
        client.flushall()  # the second run starts from an empty store too
    assert not caplog.records
    monkeypatch.setattr(Perishable, "server", redis_server, raising=False)
    cut_off = run_in(tmp_path / "cut off", config(redis_server, Perishable(logger)))

    assert len([e for e in cut_off.of("ledger") if e["epoch"] > LAST]) > 1, "all of it waits"
    assert without_clock(cut_off.metrics) == without_clock(served.metrics)
    assert lived(cut_off.events) == lived(served.events)
    networks = [each.path / "network.safetensors" for each in (served, cut_off)]
    assert networks[0].read_bytes() == networks[1].read_bytes()

    published = [json.loads(each["body"]) for _, each in messages if each["type"] == "event"]
    assert without_clock(published) == without_clock(served.events)
    assert sorted(each["where"] for each in cut_off.of("recovery")) == ["store", "stream"]
    warned = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert sorted(text.split(" ")[0] for text in warned) == ["logger.url", "store.url"]


def test_the_readme_follows_a_run_while_it_runs(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (command,) = re.findall(r"```sh\nexport ESPER_REDIS_URL.*\nesper (.*)\n```", PAGE)
    (script,) = re.findall(r"```py\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.setenv("ESPER_REDIS_URL", redis_server.url)
    monkeypatch.chdir(tmp_path)
    follower = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    short = ["data=spirals", "model=mlp", "epochs=4", "training.steps_per_epoch=2"]
    assert code_of(*command.split(), *short) == 0
    told, complaint = follower.communicate(timeout=30)
    assert complaint == ""
    found = only("runs/train/*")
    accuracies = [line["val_accuracy"] for line in Run(found).metrics]
    assert told.splitlines() == [f"{found} {n} {value}" for n, value in enumerate(accuracies, 1)]


@pytest.fixture
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESPER_REDIS_URL", "redis://:secret@127.0.0.1:1/0")


@pytest.mark.usefixtures("_own_folder")
def test_a_user_without_a_server_reads_one_line_about_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("redis")
    short = ["data=spirals", "model=mlp", "epochs=4", "training.steps_per_epoch=2"]
    assert code_of("train", "logger=redis", *short) == 0
    said = capfd.readouterr()
    (line,) = said.err.splitlines()
    assert "[WARNING] logger.url redis://:***@127.0.0.1:1/0 cannot be used: " in line
    assert line.endswith("the run continues and buffers its writes to the stream")
    assert "recovery" not in said.out, "it was said already"
    assert "secret" not in said.out + said.err
    files = [path for path in only("runs/train/*").rglob("*") if path.is_file()]
    assert not [path for path in files if b"secret" in path.read_bytes()]
