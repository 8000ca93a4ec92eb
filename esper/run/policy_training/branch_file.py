"""The file of measured branches: a line of JSON for each task, in the order of their indices.

A line is on the disk before the next one is written, so that only the last one can be torn.
"""

import json
import os
from pathlib import Path
from typing import Any

from esper.contracts.errors import DataError

BRANCHES = "branches.jsonl"


def open_records(path: Path, first_task: int) -> list[dict[str, Any]]:
    """Cut a torn last line off the file, which need not exist; return its records.

    Raises:
        DataError: if another line is broken, or of another task than its place says.
    """
    if not path.exists():
        return []
    whole, newline, torn = path.read_bytes().rpartition(b"\n")
    if torn:
        with path.open("r+b") as file:
            file.truncate(len(whole) + len(newline))
            os.fsync(file.fileno())
    lines = whole.split(b"\n") if newline else []
    return [
        _record(line, f"{path} line {place + 1}", first_task + place)
        for place, line in enumerate(lines)
    ]


def append_record(path: Path, record: dict[str, Any]) -> None:
    """Append the line of a task; it is on the disk when this returns.

    Raises:
        OSError: if it cannot be written.
    """
    line = json.dumps(record, allow_nan=False) + "\n"
    with path.open("ab", buffering=0) as file:
        file.write(line.encode())
        os.fsync(file.fileno())


def _record(line: bytes, where: str, task: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: not valid JSON") from error
    if not isinstance(record, dict) or record.get("task") != task:
        raise DataError(f"{where}: must be task {task}")
    return record
