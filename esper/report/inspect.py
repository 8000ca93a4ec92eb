"""What `esper inspect` shows in the terminal, from the run directory alone."""

from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from esper.logger.format import count, decimal, percent, signed_percent
from esper.report.history import ledger, place, seed_rows, verdicts
from esper.rundir.records import Run, load_run

_STYLES = {"FOSSILIZED": "green", "CULLED": "red", "DORMANT": "dim", "EMBARGOED": "dim"}


def inspect(path: Path | str) -> RenderableType:
    """Return slots, seeds, stages, alphas, decisions and ledger of a run directory.

    Raises:
        DataError: if `path` is no run directory or a file of it is broken.
    """
    run = load_run(path)
    return Group(
        _head(run), Text(""), _seeds(run), Text(""), _decisions(run), Text(""), _ledger(run)
    )


def _head(run: Run) -> RenderableType:
    status = (run.summary or {}).get("status") or "unfinished"
    last = run.metrics[-1] if run.metrics else {}
    words = Text(run.name, style="bold")
    words.append(f"  {status}, {run.last_epoch} epochs", style="not bold")
    words.append(
        f"\nval accuracy {percent(last.get('val_accuracy'))}"
        f"  val loss {decimal(last.get('val_loss'), 4)}"
        f"  parameters {count(last.get('params'))}  live seeds {count(last.get('live_seeds'))}",
        style="not bold",
    )
    if status != "finished":
        words.append(f"\nif it was interrupted: esper train --resume {run.path}", style="not bold")
    return words


def _seeds(run: Run) -> RenderableType:
    table = _table(
        "Slots and seeds",
        "slot",
        "#seed",
        "stage",
        "#since",
        "blueprint",
        "#alpha",
        "#gain",
        "#ablation",
        "#tried",
    )
    for row in seed_rows(run):
        table.add_row(
            Text(place(row.slot)),
            str(row.seed),
            Text(row.stage, style=_STYLES.get(row.stage, "cyan")),
            count(row.since),
            Text(row.blueprint or "-"),
            decimal(row.alpha, 2),
            signed_percent(row.gain),
            signed_percent(row.ablation),
            str(row.activations),
        )
    return table


def _decisions(run: Run) -> RenderableType:
    table = _table("Decisions", "#epoch", "decision", "where", "reason")
    for verdict in verdicts(run):
        table.add_row(
            str(verdict.epoch), Text(verdict.what), Text(verdict.where), Text(verdict.reason)
        )
    return table


def _ledger(run: Run) -> RenderableType:
    table = _table("Ledger", "seed", "blueprint", "#trials", "#mean reward", "#last reward")
    for record in ledger(run):
        table.add_row(
            Text(place(record["slot"], record["seed"])),
            Text(str(record["blueprint"])),
            count(record["trials"]),
            decimal(record["mean_reward"]),
            decimal(record["reward"]),
        )
    return table


def _table(title: str, *names: str) -> Table:
    """Return an empty table; `#` before a column's name puts it to the right."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        padding=(0, 2, 0, 0),
        header_style="dim",
    )
    for name in names:
        table.add_column(name.lstrip("#"), justify="right" if name.startswith("#") else "left")
    return table
