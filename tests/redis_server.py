"""A private Redis server for a test, which may pause, kill and restart it."""

import os
import shutil
import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

BINARY = shutil.which("redis-server")
NO_LIBRARY = "" if find_spec("redis") else "no library: pip install 'esper-morph[redis]'"
NO_BINARY = "" if BINARY else "no redis-server (Debian: apt-get install redis-server)"
WHY_NOT = NO_LIBRARY or NO_BINARY
"""Reason why no server can be started on this machine; empty if one can."""

_START_S = 20.0


class RedisServer:
    """A server on a free port of this machine, which writes no files.

    Args:
        folder: its working directory.
    """

    def __init__(self, folder: Path) -> None:
        assert BINARY is not None, WHY_NOT
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.start()

    def start(self) -> None:
        """Start it without data, always on the same port."""
        assert BINARY is not None
        options = ["--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--dir", "."]
        self._process = subprocess.Popen(
            [BINARY, *options], cwd=self._folder, stdout=subprocess.DEVNULL
        )
        end = time.monotonic() + _START_S
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended at once"
            assert time.monotonic() < end, "redis-server does not answer"
            time.sleep(0.01)

    def pause(self) -> None:
        """Stop it from answering; connections stay open."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def kill(self) -> None:
        """Kill it, as a crash does; a second call does nothing."""
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(5) == b"+PONG"
        except OSError:
            return False
