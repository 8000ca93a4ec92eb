"""The folder of a sweep: which of its jobs are finished, which failed, and its table."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from esper.logger.format import measured
from esper.report.sweep import Group, collect, metric_of, table, write_csv
from esper.rundir.layout import CHECKPOINTS, FINISHED, RECORDS, SUMMARY, write_json
from esper.rundir.same_config import check_same


def finished(run_dir: Path, overrides: Sequence[str]) -> dict[str, Any] | None:
    """Return the summary of a job that ended well under the same overrides, else None."""
    summary = summary_of(run_dir)
    before = _read(run_dir / FINISHED)
    return summary if before is not None and sorted(before) == sorted(overrides) else None


def longer(run_dir: Path, epochs: int) -> dict[str, Any] | None:
    """Return the summary of a job that was trained for as many epochs or more, else None."""
    summary = summary_of(run_dir)
    is_over = summary is not None and summary.get("status") == "finished"
    return summary if is_over and summary is not None and summary["epochs"] >= epochs else None


def summary_of(run_dir: Path) -> dict[str, Any] | None:
    """Return the summary in a run's folder, None when there is none that is whole."""
    summary = _read(run_dir / SUMMARY)
    return None if summary is None else dict(summary)


def is_interrupted(run_dir: Path, raw: Mapping[str, Any]) -> bool:
    """Return whether a job was stopped on its way, under the same configuration.

    Raises:
        CheckpointError: if it was under another one, or its checkpoints are broken.
    """
    from esper.checkpoint.rotation import CheckpointRotation  # torch

    found = CheckpointRotation(run_dir / CHECKPOINTS).latest()
    if found is None:
        return False
    check_same(found.saved.facts["config"], raw, found.saved.facts["epoch"])
    return True


def mark_finished(run_dir: Path, overrides: Sequence[str]) -> None:
    """Record that the job ended well, so that the same sweep run again leaves it alone."""
    write_json(run_dir / FINISHED, list(overrides))


def forget(run_dir: Path) -> None:
    """Take away the records of an earlier job in this folder: runs add to the files they find."""
    for name in (FINISHED, *RECORDS):
        (run_dir / name).unlink(missing_ok=True)
    shutil.rmtree(run_dir / CHECKPOINTS, ignore_errors=True)


def record_failure(run_dir: Path, error: str, status: str = "failed") -> None:
    """Write into the run's summary how it ended, and why; what the run said itself is kept."""
    summary = _read(run_dir / SUMMARY) or {}
    summary |= {"status": status, "error": error}
    write_json(run_dir / SUMMARY, summary)


def finish(sweep_dir: Path) -> list[str]:
    """Write `sweep.csv`, print the table of groups, and return the jobs that did not end well.

    Raises:
        DataError: if the folder holds no job, or a job's files are broken.
    """
    jobs = collect(sweep_dir)
    write_csv(jobs, sweep_dir / "sweep.csv")
    metric = metric_of(jobs)
    failed = [job for job in jobs if not (job.path / FINISHED).exists()]
    console = Console(highlight=False)
    console.print(_rich_table(table(jobs, metric), metric))
    console.print(f"{len(jobs) - len(failed)} of {len(jobs)} jobs finished: {sweep_dir}/sweep.csv")
    for job in failed:
        error = escape(str(job.numbers.get("error", "it left no summary")))
        console.print(f"[red]job {job.name} {job.status}: {error}[/]")
    return [job.name for job in failed]


def _rich_table(groups: Sequence[Group], metric: str) -> Table:
    rows = Table(box=box.SIMPLE_HEAD)
    rows.add_column("group", overflow="fold")
    for title in ("jobs", f"mean {metric}", "95 % interval"):
        rows.add_column(title, justify="right")
    for group in groups:
        mean, interval = measured(metric, group.mean), group.interval(metric)
        rows.add_row(escape(group.label), str(group.jobs), mean, interval)
    return rows


def _read(file: Path) -> Any:
    """Return what a JSON file holds, None when it is missing or was cut off."""
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
