"""The command line.  A command imports torch and Hydra only when it runs."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.main import get_command

from esper.app import ledger
from esper.app.errors import INTERRUPTED, print_error
from esper.contracts.errors import EsperError

app = typer.Typer(
    name="esper",
    pretty_exceptions_enable=False,
)
app.add_typer(ledger.app, name="ledger")


def _print_version(asked: bool) -> None:
    if asked:
        from esper import __version__

        typer.echo(f"esper {__version__}")
        raise typer.Exit


@app.callback()
def esper(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Train neural networks that grow while they train."""


HYDRA_FLAGS = (
    "Flags of Hydra pass through: -m (sweep), --cfg job|hydra|all, --resolve, --package, "
    "--config-dir, --config-name, --info, --hydra-help."
)


def _complete(incomplete: str) -> list[str]:
    from esper.app.arguments import complete

    return complete(incomplete)


def _complete_policy(incomplete: str) -> list[str]:
    from esper.app.arguments import complete

    return complete(incomplete, "train_policy")


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    epilog=HYDRA_FLAGS,
)
def train(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Options, such as strategy=thompson epochs=10; with -m also lists: rng_seed=0,1,2",
            autocompletion=_complete,
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            help="Continue an interrupted run, or sweep, where it was last saved.",
        ),
    ] = None,
) -> None:
    """Train a network that grows: one run, or with -m a sweep."""
    from esper.app import train as runner

    if resume is None:
        runner.train(overrides or [])
    else:
        runner.resume(resume, overrides or [])


@app.command(
    "train-policy",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    epilog="Flags of Hydra pass through: --cfg job|hydra|all, --resolve, --info, --hydra-help.",
)
def train_policy(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Options, such as tasks=100 processes=2 store=sqlite store.path=esper.db",
            autocompletion=_complete_policy,
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="RUN", help="Continue an interrupted training."),
    ] = None,
) -> None:
    """Train a learned policy on many short growth runs, and save it."""
    from esper.app import train_policy as runner

    if resume is None:
        runner.train_policy(overrides or [])
    else:
        runner.resume(resume, overrides or [])


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs or sweeps.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the report; each run's own when not given.")
    ] = None,
) -> None:
    """Write one self-contained HTML page and its figures for each run or sweep."""
    from esper.report.make import report as write_report

    for file in write_report(runs, out):
        if file.suffix == ".html":
            typer.echo(file)


@app.command()
def inspect(runs: Annotated[list[Path], typer.Argument(help="Folders of runs or sweeps.")]) -> None:
    """Show seeds, decisions, rewards and ledger of runs in the terminal, and the runs of sweeps."""
    from rich.console import Console

    from esper.report.inspect import inspect as inspect_run
    from esper.rundir.records import NoRunError

    skipped: list[NoRunError] = []
    for run in runs:
        try:
            Console(highlight=False).print(inspect_run(run))
        except NoRunError as error:
            skipped.append(error)
    # A pattern such as runs/train/* also finds runs that were refused, and reports.
    if len(skipped) == len(runs):
        raise skipped[-1]
    for each in skipped:
        typer.secho(f"skipped: {each}", fg="yellow", err=True)


@app.command()
def doctor() -> None:
    """Show versions, devices and accounts, what is missing and how to get it."""
    from esper.app.doctor import examine, show

    findings = examine()
    show(findings)
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(1)


def execute(arguments: list[str]) -> int:
    """Run one command and return its exit code: 0 done, 1 refused or failed, 130 interrupted."""
    command = get_command(app)
    try:
        code = command.main(arguments or ["--help"], prog_name="esper", standalone_mode=False)
    except typer.TyperException as misuse:
        print_error(EsperError(misuse.format_message()))
        return 1
    except (EsperError, OSError) as error:
        print_error(error)
        return 1
    if code == INTERRUPTED:
        typer.echo("interrupted", err=True)
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the command line and exit with its code."""
    # Print an unexpected error as one line; Python then exits with code 1.
    sys.excepthook = lambda kind, error, trace: print_error(error)
    sys.exit(execute(sys.argv[1:]))
