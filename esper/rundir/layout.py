"""Names of the files of a run, and how a file is written atomically."""

import json
import os
from pathlib import Path
from typing import Any

HYDRA = ".hydra"  # the folder in which Hydra keeps what it composed a run from
COMMAND = "command.json"  # how a run or sweep was started: in a run's .hydra, in a sweep's folder
CONFIG = "config.json"  # the checked options of a run
CHECKPOINTS = "checkpoints"  # the folder of a run's checkpoints
SUMMARY = "summary.json"
METRICS = "metrics.jsonl"
EVENTS = "events.jsonl"
NETWORK = "network.safetensors"
SNAPSHOT = "ledger_snapshot.json"  # the store's entries when the run began


def write_json(path: Path, value: Any) -> None:
    """Write `value` to a file in one step, so that no reader sees half of it.

    Raises:
        OSError: naming the file, if it cannot be written; its former content is kept.
    """
    part = path.with_suffix(".part")
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
