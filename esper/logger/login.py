"""Check for a login to Weights & Biases and for its server, without a prompt or a long wait."""

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
    """Return whether the environment or the netrc file has a key for the server in use."""
    if any(os.environ.get(key) for key in _KEYS):
        return True
    # The file's name on Windows is `_netrc`.
    default = "~/.netrc" if Path("~/.netrc").expanduser().exists() else "~/_netrc"
    try:
        entries = netrc.netrc(Path(os.environ.get("NETRC") or default).expanduser()).hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return any(url.netloc in entries for url in _servers())


def is_reachable(timeout_s: float = 1.5) -> bool:
    """Return whether the server answers within `timeout_s`, name look-up included.

    Behind a proxy the answer is True, because only the proxy knows.
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
    """Return the server that the user has chosen, else W&B's own ones."""
    chosen = os.environ.get("WANDB_BASE_URL") or _url_in_settings()
    return tuple(urlsplit(url) for url in ((chosen,) if chosen else _SERVERS))


def _url_in_settings() -> str | None:
    folder = os.environ.get("WANDB_CONFIG_DIR") or Path("~/.config/wandb").expanduser()
    parser = ConfigParser()
    try:
        parser.read(Path(folder) / "settings", encoding="utf-8")
    except (ParserError, OSError, UnicodeDecodeError):
        return None
    return parser.get("default", "base_url", fallback=None)
