"""The folder of a sweep: which of its jobs are finished, which failed, and its table."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FINISHED = Path(".hydra") / "finished.json"
"""Holds the overrides of a job that ended well (Hydra rewrites `overrides.yaml` at each start)."""


def finished(run_dir: Path, overrides: Sequence[str]) -> dict[str, Any] | None:
    """Return the summary of a job that ended well under the same overrides, else None."""
    summary = _read(run_dir / "summary.json")
    if summary is None or _read(run_dir / FINISHED) != list(overrides):
        return None
    return dict(summary)


def mark_finished(run_dir: Path, overrides: Sequence[str]) -> None:
    """Record that the job ended well, so that the same sweep run again leaves it alone."""
    (run_dir / FINISHED).write_text(json.dumps(list(overrides)))


def forget(run_dir: Path) -> None:
    """Take away what says how an earlier job in this folder ended."""
    for name in (FINISHED, Path("summary.json")):
        (run_dir / name).unlink(missing_ok=True)


def record_failure(run_dir: Path, error: str) -> None:
    """Write into the run's summary that it failed, and why; what the run said itself is kept."""
    summary = _read(run_dir / "summary.json") or {}
    summary |= {"status": "failed", "error": error}
    (run_dir / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")


def failed_jobs(sweep_dir: Path) -> list[Path]:
    """Return the folders of jobs that did not end well, in the order of their numbers."""
    jobs = [folder.parent for folder in sweep_dir.glob("*/.hydra")]
    failed = [job for job in jobs if not (job / FINISHED).exists()]
    return sorted(failed, key=lambda job: (len(job.name), job.name))


def _read(file: Path) -> Any:
    """Return what a JSON file holds, None when it is missing or was cut off."""
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
