"""The folder of a sweep: find its finished jobs, and write its table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from esper.config import RunConfig
from esper.contracts.budget import AUTO
from esper.logger.format import measured
from esper.report.sweep import Group, collect, metric_of, table, write_csv
from esper.run.config_file import check_same, config_values
from esper.rundir.layout import CONFIG
from esper.rundir.records import RunState, load_object, load_summary, state_of


def finished_summary(run_dir: Path, config: RunConfig) -> dict[str, Any] | None:
    """Return the summary of a job if it was trained for `config.epochs` or more, else None.

    Raises:
        CheckpointError: if it was trained under another configuration.
    """
    if state_of(run_dir) is not RunState.FINISHED:
        return None
    summary, before = load_summary(run_dir), load_object(run_dir / CONFIG)
    if summary is None or before is None or not _is_long_enough(summary, before, config):
        return None
    check_same(before, config_values(config), epoch=0)
    return summary


def _is_long_enough(
    summary: Mapping[str, Any], before: Mapping[str, Any], config: RunConfig
) -> bool:
    if config.epochs != AUTO:
        return bool(summary["epochs"] >= config.epochs)
    same_budget = before.get("budget") == config.budget
    return same_budget and summary.get("stopped_by") == "budget"


def finish(sweep_dir: Path) -> bool:
    """Write `sweep.csv`, print the table of groups, and return whether all jobs finished.

    Raises:
        DataError: if the folder holds no job, or a job's files are broken.
    """
    jobs = collect(sweep_dir)
    write_csv(jobs, sweep_dir / "sweep.csv")
    metric = metric_of(jobs)
    failed = [job for job in jobs if job.status != RunState.FINISHED]
    console = Console(highlight=False)
    console.print(_rich_table(table(jobs, metric), metric))
    console.print(f"{len(jobs) - len(failed)} of {len(jobs)} jobs finished: {sweep_dir}/sweep.csv")
    for job in failed:
        error = escape(str(job.numbers.get("error", "it left no summary")))
        console.print(f"[red]job {job.name} {job.status}: {error}[/]")
    return not failed


def _rich_table(groups: Sequence[Group], metric: str) -> Table:
    rows = Table(box=box.SIMPLE_HEAD)
    rows.add_column("group", overflow="fold")
    for title in ("jobs", f"mean {metric}", "95 % interval"):
        rows.add_column(title, justify="right")
    for group in groups:
        mean, interval = measured(metric, group.mean), group.interval(metric)
        rows.add_row(escape(group.label), str(group.jobs), mean, interval)
    return rows
