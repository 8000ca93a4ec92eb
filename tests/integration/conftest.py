"""Runs that several files look at: the default one, and those that exercise every option."""

from pathlib import Path

import pytest

from tests.integration.harness import Done, Run, esper, esper_all
from tests.integration.option_cases import AGAIN, CASES, OWN_NETWORK, STRATEGIES, SWEEP

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


@pytest.fixture(scope="session")
def option_done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    folder: Path = tmp_path_factory.mktemp("options")
    (folder / "book.txt").write_text("the quick brown fox jumps over the lazy dog. " * 200)
    (folder / "custom").mkdir()
    (folder / "custom" / "mine.py").write_text(OWN_NETWORK)
    commands = {name: command(case) for name, case in CASES.items()}
    found = esper_all(folder, {"sweep": ["train", "-m", *command(SWEEP)[1:]], **commands})
    return {**found, "again": esper(folder / "again", command(AGAIN))}


def command(overrides: str) -> list[str]:
    return ["train", "logger=none", *overrides.split()]


@pytest.fixture(scope="session")
def option_runs(option_done: dict[str, Done], default_done: Done) -> dict[str, Run]:
    (sweep,) = option_done["sweep"].cwd.glob("sweeps/train/*")
    jobs = {f"strategy_{name}": Run(sweep / str(job)) for job, name in enumerate(STRATEGIES)}
    single = {name: each.run for name, each in option_done.items() if name != "sweep"}
    return {**jobs, **single, "wandb": default_done.run}
