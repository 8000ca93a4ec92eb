"""Runs that several files look at: the default one, and those that exercise every option."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import Done, Run, esper, esper_all
from tests.integration.option_cases import (
    AGAIN,
    CASES,
    OWN_NETWORK,
    SNAPSHOT,
    STRATEGIES,
    SWEEP,
)
from tests.redis_server import WHY_NOT, RedisServer

RNG_SEED = 5
"""One with which the default run keeps one seed at least and culls one at least."""


@pytest.fixture(scope="session")
def default_command() -> list[str]:
    return ["train", f"rng_seed={RNG_SEED}"]


@pytest.fixture(scope="session")
def default_twice(
    default_command: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Done, Done]:
    """The same command twice, in two processes and two folders."""
    commands = dict.fromkeys(("first", "second"), default_command)
    done = esper_all(tmp_path_factory.mktemp("default"), commands)
    return done["first"], done["second"]


@pytest.fixture(scope="session")
def default_done(default_twice: tuple[Done, Done]) -> Done:
    return default_twice[0]


class ByCase(dict[str, Any]):
    """What became of each case; a test that asks for one that cannot run here is skipped."""

    def __missing__(self, name: str) -> Any:
        assert name == "redis", f"there is no case {name}"
        pytest.skip(WHY_NOT)


@pytest.fixture(scope="session")
def case_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer | None]:
    """The server that the case `redis` talks to; None where there can be none."""
    server = None if WHY_NOT else RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    if server is not None:
        server.kill()


@pytest.fixture(scope="session")
def option_done(
    tmp_path_factory: pytest.TempPathFactory, case_server: RedisServer | None
) -> dict[str, Done]:
    folder: Path = tmp_path_factory.mktemp("options")
    (folder / "book.txt").write_text("the quick brown fox jumps over the lazy dog. " * 200)
    (folder / "custom").mkdir()
    (folder / "custom" / "mine.py").write_text(OWN_NETWORK)
    commands = {name: command(case) for name, case in CASES.items()}
    if case_server is None:
        del commands["redis"]
    found = esper_all(
        folder,
        {"sweep": ["train", "-m", *command(SWEEP)[1:]], **commands},
        {} if case_server is None else {"ESPER_REDIS_URL": case_server.url},
    )
    again = esper(folder / "again", command(AGAIN))
    snapshot = esper(folder / "snapshot", command(f"{SNAPSHOT}{again.run.path}"))
    return ByCase(found, again=again, snapshot=snapshot)


def command(overrides: str) -> list[str]:
    return ["train", "logger=none", *overrides.split()]


@pytest.fixture(scope="session")
def option_runs(option_done: dict[str, Done], default_done: Done) -> dict[str, Run]:
    (sweep,) = option_done["sweep"].cwd.glob("sweeps/train/*")
    jobs = {f"strategy_{name}": Run(sweep / str(job)) for job, name in enumerate(STRATEGIES)}
    single = {name: each.run for name, each in option_done.items() if name != "sweep"}
    return ByCase({**jobs, **single, "wandb": default_done.run})
