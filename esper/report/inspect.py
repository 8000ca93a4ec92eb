"""The output of `esper inspect` in the terminal, from the run directory alone."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from esper.logger.display import STAGE_STYLES
from esper.logger.format import count, decimal, percent
from esper.report.choices import (
    BLUEPRINTS,
    LEDGER,
    PROMISES,
    REWARDS,
    SELECTIONS,
    blueprint_rows,
    in_words,
    ledger_rows,
    promise_rows,
    promises_of,
    reward_rows,
    selection_rows,
)
from esper.report.history import DECISIONS, SEEDS, Row, decision_rows, seed_rows
from esper.rundir.records import Run, RunState, load_run


def inspect(path: Path | str) -> RenderableType:
    """Return seeds, decisions, choices, rewards, ledger and blueprints of a run directory.

    Raises:
        DataError: if `path` is no run directory or one of its files is broken.
    """
    run = load_run(path)
    seeds = [
        (slot, seed, Text(stage, style=STAGE_STYLES.get(stage, "dim")), *rest)
        for slot, seed, stage, *rest in seed_rows(run)
    ]
    promises = promises_of(run)
    return Group(
        _head(run),
        *titled_table("Slots and seeds", SEEDS, seeds),
        *titled_table("Decisions", DECISIONS, decision_rows(run)),
        *titled_table("Selections", SELECTIONS, selection_rows(run)),
        *titled_table("Promises of plans", PROMISES, promise_rows(promises)),
        Text(in_words(promises), style="dim"),
        # The explanations are long, and in the report.
        *titled_table("Rewards", REWARDS[:-1], [row[:-1] for row in reward_rows(run)]),
        *titled_table("Ledger: rewards of each blueprint in each slot", LEDGER, ledger_rows(run)),
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
