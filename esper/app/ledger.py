"""`esper ledger`: list, merge and forget what a ledger on the disk knows."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

_PATH = "SQLite file of store=sqlite, JSON export, or folder of a run."


class _LedgerGroup(TyperGroup):
    """Lists a ledger if the first word is no command: `esper ledger PATH`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` before arguments that name no command."""
        is_named = bool(args) and args[0] in (*self.commands, *ctx.help_option_names)
        return super().parse_args(ctx, args if is_named else ["list", *args])


app = typer.Typer(cls=_LedgerGroup)


@app.callback()
def ledger() -> None:
    """List, merge and forget what a ledger knows: esper ledger PATH is esper ledger list PATH."""


@app.command("list")
def list_(
    path: Annotated[Path, typer.Argument(help=_PATH)],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show each pool: a blueprint in slots of one kind and placement, with all its trials."""
    from rich.console import Console

    from esper.report.ledger import ledger_table, ledger_values
    from esper.run.ledger_file import read_ledger

    entries = read_ledger(path)
    if as_json:
        values = {"path": str(path), **ledger_values(entries)}
        typer.echo(json.dumps(values, indent=2, ensure_ascii=False))
    else:
        Console(highlight=False).print(ledger_table(entries, str(path)))


@app.command()
def merge(
    out: Annotated[
        Path, typer.Argument(help="File to add to; a new one is JSON if it ends in .json.")
    ],
    sources: Annotated[list[Path], typer.Argument(metavar="IN...", help=f"Each: {_PATH}")],
) -> None:
    """Add the entries of ledgers to another one, each entry once."""
    from esper.logger.format import plural
    from esper.run.ledger_file import merge as merge_files

    added, known = merge_files(out, sources)
    typer.echo(f"{out}: {plural(added, 'entry', 'entries')} added, {known:,} known already")


@app.command()
def forget(
    path: Annotated[Path, typer.Argument(help="SQLite file of store=sqlite, or JSON export.")],
    blueprint: Annotated[
        list[str] | None, typer.Option(help="Entries of this blueprint; may be repeated.")
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(help="Entries of this run, named by its folder; may be repeated."),
    ] = None,
    before: Annotated[
        str | None, typer.Option(metavar="RUN", help="Entries older than the first of this run.")
    ] = None,
) -> None:
    """Remove entries for good, without a question; every given condition must hold."""
    from esper.logger.format import plural
    from esper.report.ledger import shown_run
    from esper.run.ledger_file import Selector
    from esper.run.ledger_file import forget as forget_entries

    selector = Selector(tuple(blueprint or ()), tuple(run or ()), before)
    removed, left = forget_entries(path, selector)
    what = plural(len(removed), "entry", "entries")
    typer.echo(f"{path}: {what} removed, {left:,} left")
    for (name, key), number in Counter((e.blueprint, e.run) for e in removed).items():
        typer.echo(f"  {number:,} of {name} by {shown_run(key)}")
