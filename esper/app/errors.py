"""Print an error as one line, and its traceback with `ESPER_DEBUG=1`."""

import os
import traceback

import typer

from esper.contracts.errors import EsperError, InterruptionError

INTERRUPTED = 130
"""Exit code of a run that was stopped after a checkpoint was written."""


def one_line(error: BaseException) -> str:
    """Return an error as one line.

    An `EsperError` is its text, an `OSError` names its file.  Any other error is unexpected: its
    line names its type, and how to see where it was raised.
    """
    if isinstance(error, EsperError):
        text = str(error)
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    else:
        text = f"{type(error).__name__}: {error} (ESPER_DEBUG=1 shows where)"
    return " ".join(text.split())


def print_error(error: BaseException) -> None:
    """Write one line to stderr, red for an error; with `ESPER_DEBUG=1` the traceback before it."""
    if os.environ.get("ESPER_DEBUG") == "1":
        traceback.print_exception(error)
    if isinstance(error, InterruptionError):
        typer.secho(one_line(error), fg="yellow", err=True)
    else:
        typer.secho(f"error: {one_line(error)}", fg="red", err=True)
