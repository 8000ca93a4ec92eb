"""Print an error as one line, and its traceback with `ESPER_DEBUG=1`."""

import os
import traceback

import typer

from esper.contracts.errors import EsperError, InterruptionError

INTERRUPTED = 130
"""Exit code of a run that was interrupted and saved."""


def one_line(error: BaseException) -> str:
    """Return an error as one line.

    This is the text of an `EsperError`, or the reason and file of an `OSError`.  The line of any
    other, unexpected error names its type, and how to print its traceback.  Notes follow the text.
    """
    if isinstance(error, EsperError):
        text = str(error)
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    else:
        text = f"{type(error).__name__}: {error} (ESPER_DEBUG=1 shows where)"
    notes = getattr(error, "__notes__", ())
    return " ".join(" ".join((text, *notes)).split())


def print_error(error: BaseException) -> None:
    """Print an error as one line to stderr, after its traceback if `ESPER_DEBUG=1`."""
    if os.environ.get("ESPER_DEBUG") == "1":
        traceback.print_exception(error)
    if isinstance(error, InterruptionError):
        typer.secho(one_line(error), fg="yellow", err=True)
    else:
        typer.secho(f"error: {one_line(error)}", fg="red", err=True)
