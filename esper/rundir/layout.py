"""Names of the files of a run, and how a file is written atomically."""

import json
import os
from pathlib import Path
from typing import Any

COMMAND = "command.json"
"""What started a run or a sweep: in a run's `.hydra`, and in the folder of a sweep."""

CHECKPOINTS = "checkpoints"
"""The folder of a run's checkpoints, in its own."""


SUMMARY = "summary.json"
METRICS = "metrics.jsonl"
EVENTS = "events.jsonl"
NETWORK = "network.safetensors"

SNAPSHOT = "ledger_snapshot.json"
"""What the store held when the run began."""

FINISHED = Path(".hydra") / "finished.json"
"""Overrides of a job of a sweep that is finished."""

RECORDS = (SUMMARY, METRICS, EVENTS)


def write_json(path: Path, value: Any) -> None:
    """Write all of a file or nothing of it.

    Raises:
        OSError: naming the file, if it cannot be written; what stood there before is kept.
    """
    part = path.with_suffix(".part")
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
