"""The output of `esper inspect` in the terminal, from the run directory alone."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from esper.logger.display import STAGE_STYLES
from esper.logger.format import count, decimal, measured, percent, plural
from esper.report.choices import (
    BLUEPRINTS,
    LEDGER,
    PROMISES,
    RECORDS,
    REWARDS,
    SELECTIONS,
    blueprint_rows,
    in_words,
    ledger_rows,
    promise_rows,
    promises_of,
    record_rows,
    reward_rows,
    selection_rows,
)
from esper.report.health import HEALTH, health_rows
from esper.report.history import (
    DECISIONS,
    SEEDS,
    WAITS,
    Row,
    decision_rows,
    seed_rows,
    wait_rows,
)
from esper.report.sweep import collect, metric_of
from esper.rundir.records import Run, RunState, is_run, load_run


def inspect(path: Path | str) -> RenderableType:
    """Return seeds, decisions, choices, rewards, ledger and blueprints of a run directory.

    Of a sweep, or any other folder of runs, return the list of its runs.

    Raises:
        DataError: if `path` is neither, or one of its files is broken.
    """
    folder = Path(path)
    if not is_run(folder) and any(is_run(each) for each in folder.glob("*/")):
        return _jobs(folder)
    return _run(load_run(folder))


def _jobs(folder: Path) -> RenderableType:
    jobs = collect(folder)
    metric = metric_of(jobs)
    rows = [
        (
            job.name,
            job.status,
            measured(metric, job.numbers.get(metric)),
            count(job.numbers.get("seeds_fossilized")),
            count(job.numbers.get("seeds_germinated")),
            " ".join(f"{key}={value}" for key, value in job.overrides.items()),
        )
        for job in jobs
    ]
    head = ("@run", "@state", f"#{metric.replace('_', ' ')}", "#kept", "#tried", "options")
    return Group(
        Text(f"{folder}  {plural(len(jobs), 'run')}", style="bold"),
        *titled_table("Runs", head, rows),
        Text(f"one of them: esper inspect {folder / jobs[0].name}"),
        Text(f"all of them: esper report {folder}"),
    )


def _run(run: Run) -> RenderableType:
    seeds = [
        (slot, seed, Text(stage, style=STAGE_STYLES.get(stage, "dim")), *rest)
        for slot, seed, stage, *rest in seed_rows(run)
    ]
    promises = promises_of(run)
    return Group(
        _head(run),
        *titled_table("Slots and seeds", SEEDS, seeds),
        *titled_table("Records of seeds", RECORDS, record_rows(run)),
        *titled_table("Health of kernels", HEALTH, health_rows(run)),
        *titled_table("Decisions", DECISIONS, decision_rows(run)),
        *titled_table("Waits", WAITS, wait_rows(run)),
        *titled_table("Selections", SELECTIONS, selection_rows(run)),
        *titled_table("Promises of plans", PROMISES, promise_rows(promises)),
        Text(in_words(promises), style="dim"),
        # The explanations are long, and in the report.
        *titled_table(
            "Rewards, each from -1 to 1", REWARDS[:-1], [row[:-1] for row in reward_rows(run)]
        ),
        *titled_table("Ledger: rewards of this run, each from -1 to 1", LEDGER, ledger_rows(run)),
        *titled_table("Blueprints", BLUEPRINTS, blueprint_rows(run)),
    )


def _head(run: Run) -> Text:
    last = run.metrics[-1] if run.metrics else {}
    words = Text(run.name, style="bold")
    words.append(f"  {run.state}, {run.last_epoch} epochs", style="not bold")
    words.append(
        f"\nval accuracy {percent(last.get('val_accuracy'))}"
        f"  val loss {decimal(last.get('val_loss'), 4)}"
        f"  parameters {count(last.get('params'))}  live seeds {count(last.get('live_seeds'))}",
        style="not bold",
    )
    if run.state is RunState.INTERRUPTED:
        words.append(f"\nto continue it: esper train --resume {run.path}", style="not bold")
    return words


def titled_table(
    title: str, head: Sequence[str], rows: Iterable[Row]
) -> tuple[RenderableType, ...]:
    """Return an empty line and a table; see `history` for the marks in its head.

    Where the terminal is too narrow, cells go on in further lines, so that no digit is lost.
    Columns stand close unless one holds sentences, which leave room by themselves.
    """
    has_sentences = not all(name.startswith(("#", "@")) for name in head)
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        padding=(0, 2 if has_sentences else 1, 0, 0),
        header_style="dim",
    )
    for name in head:
        table.add_column(
            name.lstrip("#@"),
            justify="right" if name.startswith("#") else "left",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return Text(""), table
