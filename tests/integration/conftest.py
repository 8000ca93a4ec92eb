"""The run that a user gets who types nothing but `esper train`, for the tests that look at it."""

import pytest

from tests.integration.harness import Done, esper_all

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
