"""A client of a Redis server that gives up early, and says what is wrong without the password."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from esper.contracts.checks import require
from esper.contracts.errors import ConfigError, DataError

DEFAULT_URL = "redis://localhost:6379/0"
VARIABLE = "ESPER_REDIS_URL"
"""Names the server where no option does: a password in it gets into no file of a run."""

_SCHEMES = ("redis", "rediss", "unix")


def check(group: str, url: str | None, timeout_s: float) -> None:
    """Raise `ValueError` for a url or a time limit that no client could use.

    Args:
        group: the config group whose keys they are.
        url: None is the default server.
        timeout_s: longest wait for an answer.
    """
    if url is not None:
        _check_url(f"{group}.url", url)
    require(0 < timeout_s < math.inf, f"{group}.timeout_s", "> 0", timeout_s)


def address(url: str | None = None) -> str:
    """Return `url`, else the one of the environment, else that of a server on this machine.

    Raises:
        ConfigError: if the environment holds no url of a Redis server.
    """
    if url is not None:
        return url
    found = os.environ.get(VARIABLE) or DEFAULT_URL
    try:
        _check_url(VARIABLE, found)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return found


def shown(url: str) -> str:
    """Return `url` as people and files may see it: without password and parameters."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    masked = f"{user.split(':')[0]}:***{at}{host}" if ":" in user else parts.netloc
    return f"{parts.scheme}://{masked}{parts.path}"


def connect(option: str, url: str, timeout_s: float) -> Any:
    """Return a client that asks the server at `url`; nothing is sent yet.

    Raises:
        ConfigError: if the library is missing; the text names the `option` that needs it.
    """
    if find_spec("redis") is None:
        raise ConfigError(
            f"{option} needs a library that is not installed: pip install 'esper-morph[redis]'"
        )
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),  # by itself the library tries for seconds
    )


@contextmanager
def told(key: str, url: str) -> Iterator[None]:
    """Raise a `DataError` naming `key` and the server for whatever goes wrong with it."""
    import redis

    try:
        yield
    except (redis.RedisError, OSError) as error:
        problem = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DataError(f"{key} {shown(url)} cannot be used: {problem}") from error


def _check_url(key: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        is_fine = parts.scheme in _SCHEMES and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number
        is_fine = False
    if not is_fine:
        raise ValueError(f"{key} must be like {DEFAULT_URL}, got '{_without_secret(url)}'")


def _without_secret(url: str) -> str:
    return f"***@{url.rpartition('@')[2]}" if "@" in url else url
