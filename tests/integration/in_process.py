"""Commands run in this process, which knows torch already: a second instead of five."""

import json
from pathlib import Path
from typing import Any

from esper.cli import execute

TINY = ["logger=none", "epochs=1", "training.steps_per_epoch=2"]
"""Overrides of a run that is over at once."""


def code_of(*arguments: str) -> int:
    """Run a command in the working directory; return the exit code its process would have."""
    try:
        return execute(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)


def summary_of(run_dir: Path) -> dict[str, Any]:
    """Return what `summary.json` of a run directory holds."""
    found: dict[str, Any] = json.loads((run_dir / "summary.json").read_text(encoding="utf-8"))
    return found


def only(pattern: str) -> Path:
    """Return the one path below the working directory that fits."""
    (found,) = Path().glob(pattern)
    return found
