"""The names of the files of a run, and a function that writes JSON atomically."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HYDRA = ".hydra"  # Hydra's own folder: the configuration and the overrides
COMMAND = "command.json"  # the command that started a run (in `.hydra`) or a sweep (in its folder)
TRAIN_POLICY = "train_policy"  # in the command of a training of a policy
CONFIG = "config.json"  # the checked options of a run
CHECKPOINTS = "checkpoints"  # the folder of a run's checkpoints
SUMMARY = "summary.json"
METRICS = "metrics.jsonl"
LEARNING = "learning.jsonl"  # a line for each update of a policy's network
EVENTS = "events.jsonl"
NETWORK = "network.safetensors"
REPORT = "report"  # the folder of the page about a run, or about several, beside their files
PAGE = "index.html"  # the page in it
SNAPSHOT = "ledger_snapshot.json"  # entries of the store when the run began, and when that was


def write_json(path: Path, value: Any) -> None:
    """Write a value to a file atomically: a reader sees the old content or the new one.

    Raises:
        OSError: naming the file, if it cannot be written; its old content is kept.
    """
    _replace(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_lines(path: Path, values: Iterable[Any]) -> None:
    """Write a line of JSON for each value, atomically as `write_json` does.

    Raises:
        OSError: naming the file, if it cannot be written; its old content is kept.
    """
    _replace(path, "".join(json.dumps(each, allow_nan=False) + "\n" for each in values))


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
