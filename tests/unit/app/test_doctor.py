"""The rows of the doctor: versions, extras and the Redis server."""

import sys

import pytest

import esper
from esper.app import doctor


def test_a_missing_extra_is_an_offer_with_the_command_that_gets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(doctor.EXTRAS, "magic", ("no-such-package-at-all", "logger=magic"))
    (finding,) = [each for each in doctor.examine() if each.what == "extra magic"]
    assert finding.ok is None
    assert finding.state == "not installed; logger=magic needs it"
    assert finding.advice == "pip install 'esper-morph[magic]'"


def test_what_is_required_is_there() -> None:
    findings = {finding.what: finding for finding in doctor.examine()}
    assert findings["esper"].state == esper.__version__
    assert all(findings[package].ok for package in doctor.REQUIRED)


def redis_row() -> doctor.Finding:
    (finding,) = [each for each in doctor.examine() if each.what == "redis"]
    return finding


def test_a_redis_server_that_answers_is_named_with_its_version(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESPER_REDIS_URL", redis_url)
    finding = redis_row()
    assert finding.ok
    assert finding.state.startswith(f"{redis_url} answers, version ")


def test_a_redis_server_that_is_away_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redis")
    monkeypatch.setenv("ESPER_REDIS_URL", "redis://:secret@127.0.0.1:1/0")
    finding = redis_row()
    assert finding.ok is None
    assert finding.state.startswith("server redis://:***@127.0.0.1:1/0 cannot be used: ")
    assert "redis-server" in finding.advice


def test_without_the_redis_library_no_server_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    finding = redis_row()
    assert finding.ok is None
    assert "pip install 'esper-morph[redis]'" in finding.state
