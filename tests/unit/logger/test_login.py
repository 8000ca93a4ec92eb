"""A login is read from files and the environment alone."""

import socket
import time
from pathlib import Path

import pytest

from esper.logger.login import is_logged_in, is_reachable


@pytest.fixture(autouse=True)
def _stranger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("API_KEY", "IDENTITY_TOKEN_FILE", "BASE_URL", "MODE"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))


def test_nobody_is_logged_in_without_key_and_file() -> None:
    assert not is_logged_in()


def test_a_key_in_the_environment_is_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert is_logged_in()


def test_an_entry_for_the_server_in_use_is_a_login_and_for_another_is_not(tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.wandb.ai login user password secret\n")
    netrc.chmod(0o600)
    assert is_logged_in()
    (tmp_path / "settings").write_text("[default]\nbase_url = https://wandb.example.org\n")
    assert not is_logged_in()
    netrc.write_text("machine wandb.example.org login user password secret\n")
    assert is_logged_in()


def test_without_a_dot_netrc_the_file_that_windows_uses_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("NETRC")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "_netrc").write_text("machine api.wandb.ai login user password secret\n")
    assert is_logged_in()
    (tmp_path / ".netrc").touch()
    assert not is_logged_in(), "W&B reads ~/.netrc first"


def test_a_broken_netrc_or_settings_file_is_no_login(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine machine machine\nlogin")
    (tmp_path / "settings").write_text("base_url without a section")
    assert not is_logged_in()


def test_a_server_that_listens_is_reachable_and_one_that_does_not_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
        assert is_reachable()
    began = time.monotonic()
    assert not is_reachable(timeout_s=0.2)
    assert time.monotonic() - began < 1.0


def test_behind_a_proxy_the_server_is_taken_for_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    assert is_reachable(timeout_s=0.1)
