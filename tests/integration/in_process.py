"""Run commands in this process, which has imported torch: a second instead of five."""

import json
from pathlib import Path
from typing import Any

from esper.cli import execute

TINY = ["logger=none", "epochs=1", "training.steps_per_epoch=2"]
"""Overrides of a very short run."""


def code_of(*arguments: str) -> int:
    """Run a command in the working directory; return its exit code."""
    try:
        return execute(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)


def summary_of(run_dir: Path) -> dict[str, Any]:
    """Return the values of `summary.json` in a run's folder."""
    summary: dict[str, Any] = json.loads((run_dir / "summary.json").read_text(encoding="utf-8"))
    return summary


def only(pattern: str) -> Path:
    """Return the only path below the working directory that matches the pattern."""
    (path,) = Path().glob(pattern)
    return path
