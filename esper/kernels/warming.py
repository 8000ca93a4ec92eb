"""A process that compiles ahead of the one that trains; see `warm` for what it does."""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch

from esper.kernels.request import Request

WAIT_S = 300.0
"""How long it may be at a kernel that is needed; longer, and it is ended."""

Asked = dict[str, Any]
"""One kernel, as plain values."""


def asked(request: Request) -> Asked:
    """Return what another process has to know of a request to compile a kernel of its kind."""
    return {
        "blueprint": request.recipe.name,
        "kind": str(request.spec.kind),
        "in_shape": list(request.spec.in_shape),
        "out_shape": list(request.spec.out_shape),
        "dtype": str(request.dtype).removeprefix("torch."),
        "device": str(request.device),
    }


class Warming:
    """One process at a time, for all kinds of kernels that are new.

    It writes a byte when it begins a kernel, and one more when it has ended.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._kernels: list[Asked] = []
        self._num_begun = 0
        self._given: list[Asked] = []

    def start(self, kernels: Sequence[Asked]) -> None:
        """Begin to compile those that no process was given yet, unless one is still at work."""
        if self._is_running():
            return
        self.close()
        self._kernels = [each for each in kernels if each not in self._given]
        self._num_begun = 0
        if not self._kernels:
            return
        self._given += self._kernels
        self._process = subprocess.Popen(
            [sys.executable, "-m", "esper.kernels.warm"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        text = json.dumps({"threads": torch.get_num_threads(), "kernels": self._kernels})
        assert self._process.stdin is not None, "it is a pipe"
        # A process that is gone already is one that has compiled nothing.
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(text.encode())

    def wait_for(self, kernel: Asked) -> None:
        """Wait while the process is at a kernel; one that it has not begun is not waited for."""
        if self._process is None or kernel not in self._kernels:
            return
        begun = self._kernels.index(kernel) + 1
        self._read(sys.maxsize, timeout_s=0.0)
        if self._num_begun == begun and not self._read(begun + 1, timeout_s=WAIT_S):
            self.close()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None, "it is a pipe"
            self._process.stdout.close()
            self._process = None

    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _read(self, num_begun: int, *, timeout_s: float) -> bool:
        """Read what the process has written until it has begun so many; return whether it has."""
        assert self._process is not None, "it was started"
        assert self._process.stdout is not None, "it is a pipe"
        ends_s = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while self._num_begun < num_begun:
                if not selector.select(max(0.0, ends_s - time.monotonic())):
                    return False
                told = os.read(self._process.stdout.fileno(), 64)
                self._num_begun = self._num_begun + len(told) if told else sys.maxsize
        return True
