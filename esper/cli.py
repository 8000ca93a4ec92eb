"""The command line.  Nothing heavy is imported before a command really runs."""

import sys
from types import TracebackType
from typing import Annotated

import typer
from typer.main import get_command

from esper.contracts.errors import EsperError
from esper.failure import tell

app = typer.Typer(
    name="esper",
    help="Train neural networks that grow while they train.",
    pretty_exceptions_enable=False,
)

HYDRA_FLAGS = (
    "Flags of Hydra pass through: -m (sweep), --cfg job|hydra|all, --resolve, --package, "
    "--config-dir, --config-name, --info, --hydra-help."
)


def _complete(incomplete: str) -> list[str]:
    from esper.completion import complete

    return complete(incomplete)


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
) -> None:
    """Train a network that grows: one run, or with -m a sweep."""
    from esper.hydra_app import train as train_with_hydra

    train_with_hydra(overrides or [])


@app.command()
def doctor() -> None:
    """Show versions, devices and accounts, what is missing and how to get it."""
    from esper.doctor import examine, show

    findings = examine()
    show(findings)
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(1)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code: 0 done, 1 refused or failed, 130 interrupted."""
    command = get_command(app)
    try:
        code = command.main(arguments or ["--help"], prog_name="esper", standalone_mode=False)
    except typer.TyperException as misuse:
        tell(EsperError(misuse.format_message()))
        return 1
    except (EsperError, OSError) as error:
        tell(error)
        return 1
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.excepthook = _unexpected
    sys.exit(run(sys.argv[1:]))


def _unexpected(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Say in one line what nobody foresaw; Python itself then leaves with exit code 1."""
    tell(error)
