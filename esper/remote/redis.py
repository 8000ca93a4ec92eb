"""A Redis client with a short time limit, and errors that never show the password."""

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
"""Environment variable with the server's url; unlike an option, no file of a run records it."""

_SCHEMES = ("redis", "rediss", "unix")


def check(group: str, url: str | None, timeout_s: float) -> None:
    """Raise ValueError for an invalid `<group>.url` (None is valid) or `<group>.timeout_s`."""
    if url is not None:
        _check_url(f"{group}.url", url)
    require(0 < timeout_s < math.inf, f"{group}.timeout_s", "> 0", timeout_s)


def address(url: str | None = None) -> str:
    """Return `url`, else the one in `ESPER_REDIS_URL`, else that of a server on this machine.

    Raises:
        ConfigError: if `ESPER_REDIS_URL` holds no url of a Redis server.
    """
    if url is not None:
        return url
    default = os.environ.get(VARIABLE) or DEFAULT_URL
    try:
        _check_url(VARIABLE, default)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return default


def shown(url: str) -> str:
    """Return `url` without password and parameters, for messages and files."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    masked = f"{user.split(':')[0]}:***{at}{host}" if ":" in user else parts.netloc
    return f"{parts.scheme}://{masked}{parts.path}"


def connect(option: str, url: str, timeout_s: float) -> Any:
    """Return a client of the server at `url`, not connected yet.

    Raises:
        ConfigError: if the library is missing; the message names the `option` that needs it.
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
        retry=Retry(NoBackoff(), 0),  # the library's default retries for seconds
    )


@contextmanager
def redis_errors(key: str, url: str) -> Iterator[None]:
    """Turn an error of the server or the network into a `DataError` with `key` and server."""
    import redis

    try:
        yield
    except (redis.RedisError, OSError) as error:
        problem = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DataError(f"{key} {shown(url)} cannot be used: {problem}") from error


def _check_url(key: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in _SCHEMES and (parts.port is None or parts.port > 0)
    except ValueError:  # the port is not a number
        is_valid = False
    without_password = f"***@{url.rpartition('@')[2]}" if "@" in url else url
    require(is_valid, key, f"like {DEFAULT_URL}", f"'{without_password}'")
