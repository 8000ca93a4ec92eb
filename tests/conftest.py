"""Settings of all tests, and Redis servers that several folders of tests use."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from tests.redis_server import NO_LIBRARY, WHY_NOT, RedisServer

settings.register_profile("esper", deadline=None, print_blob=True)
settings.load_profile("esper")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Use a temporary cache folder instead of the user's, except for matplotlib's fonts."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    with pytest.MonkeyPatch.context() as patch:
        if "MPLCONFIGDIR" not in os.environ:
            patch.setenv("MPLCONFIGDIR", str(usual / "matplotlib"))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server that the test may kill."""
    if WHY_NOT:
        pytest.skip(WHY_NOT)
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for all tests: `ESPER_TEST_REDIS_URL`, or a private one; use separate keys."""
    given = os.environ.get("ESPER_TEST_REDIS_URL")
    why_not = NO_LIBRARY if given else WHY_NOT
    if why_not:
        pytest.skip(why_not)
    if given:
        yield given
        return
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server.url
    server.kill()


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    """A client of that server."""
    import redis

    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client
