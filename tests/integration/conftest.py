"""Runs that several test files share: the default one, and those that exercise every option."""

import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.gain_models import write_gain_model
from tests.integration.harness import Done, Run, esper, esper_all, esper_forked
from tests.integration.option_cases import (
    AGAIN,
    CASES,
    OWN_NETWORK,
    SERVED,
    SNAPSHOT,
    STRATEGIES,
    SWEEP,
)
from tests.parquet_images import WHY_NOT as WHY_NO_IMAGES
from tests.parquet_images import write_images
from tests.redis_server import WHY_NOT as WHY_NO_REDIS
from tests.redis_server import RedisServer

RNG_SEED = 108
"""A seed with which the default run keeps, culls, replaces and removes at least one seed each."""


@pytest.fixture(scope="session")
def default_command() -> list[str]:
    return ["train", f"rng_seed={RNG_SEED}"]


def once(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], dict[str, Done]]
) -> dict[str, Done]:
    """Return the result of `make`, called once for all parallel test processes."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"once-{name}"
    folder.mkdir(exist_ok=True)
    record = folder.with_suffix(".json")
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not record.exists():
            results = {key: asdict(done) for key, done in make(folder).items()}
            record.write_text(json.dumps(results, default=str), encoding="utf-8")
    kept = json.loads(record.read_text(encoding="utf-8"))
    return {key: Done(**{**values, "cwd": Path(values["cwd"])}) for key, values in kept.items()}


@pytest.fixture(scope="session")
def default_twice(
    default_command: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Done, Done]:
    """The same command twice, in two processes and two folders."""
    commands = dict.fromkeys(("first", "second"), default_command)
    done = once(tmp_path_factory, "default", lambda folder: esper_all(folder, commands))
    return done["first"], done["second"]


@pytest.fixture(scope="session")
def default_done(default_twice: tuple[Done, Done]) -> Done:
    return default_twice[0]


SKIPPED = {"redis": WHY_NO_REDIS, "photographs": WHY_NO_IMAGES}
"""Why a case cannot run on this machine; empty if it can."""


class ByCase(dict[str, Any]):
    """Results by case; a test of a case that cannot run on this machine is skipped."""

    def __missing__(self, name: str) -> Any:
        reason = SKIPPED.get(name)
        assert reason, f"there is no case {name}"
        pytest.skip(reason)


@pytest.fixture(scope="session")
def option_done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    return ByCase(once(tmp_path_factory, "options", run_cases))


def run_cases(folder: Path) -> dict[str, Done]:
    (folder / "book.txt").write_text("the quick brown fox jumps over the lazy dog. " * 200)
    write_gain_model(folder / "gains", bias=1.0)
    (folder / "custom").mkdir()
    (folder / "custom" / "mine.py").write_text(OWN_NETWORK)
    if not WHY_NO_IMAGES:
        write_images(folder / "images")
    commands = {name: command(case) for name, case in CASES.items() if not SKIPPED.get(name)}
    commands = {"sweep": ["train", "-m", *command(SWEEP)[1:]], **commands}
    if WHY_NO_REDIS:
        done = esper_forked(folder, commands)
    else:
        server = RedisServer(folder)
        done = esper_forked(folder, commands, {"ESPER_REDIS_URL": server.url})
        (folder / SERVED).write_text(json.dumps(held_by(server)), encoding="utf-8")
        server.kill()
    again = esper(folder / "again", command(AGAIN))
    snapshot = esper(folder / "snapshot", command(f"{SNAPSHOT}{again.run.path}"))
    return {**done, "again": again, "snapshot": snapshot}


def held_by(server: RedisServer) -> dict[str, Any]:
    """Return the fields of the messages in a server's two streams."""
    import redis

    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        streams = {name: client.xrange(name) for name in ("esper:ledger:4", "case")}
    return {name: [fields for _, fields in messages] for name, messages in streams.items()}


def command(overrides: str) -> list[str]:
    return ["train", "logger=none", *overrides.split()]


@pytest.fixture(scope="session")
def option_runs(option_done: dict[str, Done], default_done: Done) -> dict[str, Run]:
    (sweep,) = option_done["sweep"].cwd.glob("sweeps/train/*")
    jobs = {f"strategy_{name}": Run(sweep / str(job)) for job, name in enumerate(STRATEGIES)}
    single = {name: each.run for name, each in option_done.items() if name != "sweep"}
    return ByCase({**jobs, **single, "wandb": default_done.run})
