"""A disk that is full: from a moment on, what is written below a folder meets Linux's `/dev/full`.

A file that is opened for writing is made, as on a full disk, but what is written into it goes to
the device that answers every write with "No space left on device".
"""

import builtins
import io
import os
from pathlib import Path
from typing import Any

FULL = "/dev/full"
_WRITING = os.O_WRONLY | os.O_RDWR


def fill(folder: Path) -> None:
    """Let this process find no room in `folder` any more."""
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

    # Plain assignments to the names of these modules would be refused by mypy.
    vars(builtins)["open"] = vars(io)["open"] = open_full
    vars(os)["open"] = os_open_full
