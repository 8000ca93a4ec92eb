"""Messages about a server never show its password."""

import sys

import pytest

from esper.contracts.errors import ConfigError, DataError
from esper.remote import redis
from esper.remote.redis import address, connect, redis_errors, shown


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:secret@host:1/2", "redis://:***@host:1/2"),
        ("rediss://me:secret@host/0?password=secret", "rediss://me:***@host/0"),
        ("redis://me:s@cret@host/0", "redis://me:***@host/0"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock"),
    ],
)
def test_a_password_is_shown_to_nobody(url: str, public: str) -> None:
    assert shown(url) == public


def test_the_server_is_the_one_given_or_that_of_the_environment_or_this_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ESPER_REDIS_URL", raising=False)
    assert address() == "redis://localhost:6379/0"
    monkeypatch.setenv("ESPER_REDIS_URL", "redis://elsewhere:1/2")
    assert address() == "redis://elsewhere:1/2"
    assert address("redis://given/0") == "redis://given/0"
    monkeypatch.setenv("ESPER_REDIS_URL", "me:secret@elsewhere")
    with pytest.raises(ConfigError, match=r"ESPER_REDIS_URL must be like redis://.*\*@elsewhere'"):
        address()


@pytest.mark.parametrize(
    "url", ["localhost:6379", "http://localhost", "redis://host:port/0", "redis://host:99999", ""]
)
def test_a_url_of_no_redis_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"store\.url must be like redis://localhost:6379/0, got"):
        redis.check("store", url, 0.5)


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_limit_must_be_one(timeout_s: float) -> None:
    with pytest.raises(ValueError, match=r"logger\.timeout_s must be > 0, got"):
        redis.check("logger", None, timeout_s)


def test_a_missing_library_is_named_with_the_command_that_gets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigError) as refused:
        connect("logger=redis", "redis://localhost/0", 0.5)
    assert str(refused.value) == (
        "logger=redis needs a library that is not installed: pip install 'esper-morph[redis]'"
    )


def test_where_nobody_answers_the_line_names_key_server_and_reason() -> None:
    pytest.importorskip("redis")
    url = "redis://:secret@127.0.0.1:1/0"
    with pytest.raises(DataError) as refused, redis_errors("store.url", url):
        connect("store=redis", url, 0.5).ping()
    line = str(refused.value)
    assert line.startswith("store.url redis://:***@127.0.0.1:1/0 cannot be used: ")
    assert line.endswith("Connection refused")
    assert "secret" not in line
