"""Whether Weights & Biases knows the user and answers: told without a prompt or a long wait."""

import netrc
import os
import socket
from configparser import ConfigParser
from configparser import Error as ParserError
from pathlib import Path
from threading import Event, Thread
from urllib.parse import SplitResult, urlsplit

_SERVERS = ("https://api.wandb.ai", "https://api.forge.coreweave.com")
_KEYS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def is_logged_in() -> bool:
    """Say whether a key is in the environment or in the netrc file for the server in use."""
    if any(os.environ.get(key) for key in _KEYS):
        return True
    try:
        entries = netrc.netrc(_netrc_path()).hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return any(url.netloc in entries for url in _servers())


def is_reachable(timeout_s: float = 1.5) -> bool:
    """Say whether the server answers within `timeout_s`, look-up of its name included.

    Behind a proxy this is taken for granted, as only the proxy can tell.
    """
    if any(os.environ.get(name) for name in _PROXIES):
        return True
    answered = Event()

    def connect(host: str, port: int) -> None:
        try:
            with socket.create_connection((host, port), timeout=timeout_s):
                answered.set()
        except OSError:
            return

    for url in _servers():
        port = url.port or (80 if url.scheme == "http" else 443)
        Thread(target=connect, args=(url.hostname, port), daemon=True).start()
    return answered.wait(timeout_s)


def _servers() -> tuple[SplitResult, ...]:
    """Return the server that the user has named; else W&B's own."""
    named = os.environ.get("WANDB_BASE_URL") or _url_in_settings()
    return tuple(urlsplit(url) for url in ((named,) if named else _SERVERS))


def _url_in_settings() -> str | None:
    folder = os.environ.get("WANDB_CONFIG_DIR") or Path("~/.config/wandb").expanduser()
    parser = ConfigParser()
    try:
        parser.read(Path(folder) / "settings", encoding="utf-8")
    except (ParserError, OSError, UnicodeDecodeError):
        return None
    return parser.get("default", "base_url", fallback=None)


def _netrc_path() -> Path:
    named = os.environ.get("NETRC")
    if named:
        return Path(named).expanduser()
    home = Path("~").expanduser()
    usual, other = home / ".netrc", home / "_netrc"
    return other if other.exists() and not usual.exists() else usual
