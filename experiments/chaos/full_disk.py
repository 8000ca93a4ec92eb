"""Simulate a full disk: redirect writes below a folder to Linux's `/dev/full`.

As on a full disk, a file that is opened for writing is created, but each write to it fails with
"No space left on device".
"""

import builtins
import io
import os
from pathlib import Path
from typing import Any

FULL = "/dev/full"
_WRITING = os.O_WRONLY | os.O_RDWR


def fill(folder: Path) -> None:
    """Let all further writes of this process below `folder` fail."""
    inside = str(folder.resolve()) + os.sep
    real_open, real_os_open = io.open, os.open

    def is_meant(path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(inside)

    def open_full(path: Any, mode: str = "r", *others: Any, **named: Any) -> Any:
        if not is_meant(path) or not set(mode) & set("wax+"):
            return real_open(path, mode, *others, **named)
        real_open(path, mode, *others, **named).close()
        return real_open(FULL, mode.replace("x", "w"), *others, **named)

    def os_open_full(path: Any, flags: int, *others: Any, **named: Any) -> int:
        descriptor = real_os_open(path, flags, *others, **named)
        if not is_meant(path) or not flags & _WRITING:
            return descriptor
        os.close(descriptor)
        return real_os_open(FULL, os.O_WRONLY)

    # Mypy refuses plain assignments to names of these modules.
    vars(builtins)["open"] = vars(io)["open"] = open_full
    vars(os)["open"] = os_open_full
