"""One line for whatever went wrong, and the traceback for those who ask with `ESPER_DEBUG=1`."""

import os
import traceback

import typer

from esper.contracts.errors import EsperError, InterruptionError

INTERRUPTED = 130
"""Exit code of a run that was stopped after a checkpoint was written."""


def one_line(error: BaseException) -> str:
    """Return what went wrong as one line.

    An `EsperError` says it itself; an `OSError` names its file; anything else is unexpected, so its
    type is named and how to see where it came from.
    """
    if isinstance(error, EsperError):
        return _single_spaced(str(error))
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return _single_spaced(f"{error.strerror}{where}")
    text = _single_spaced(str(error))
    return f"{type(error).__name__}: {text} (ESPER_DEBUG=1 shows where)"


def print_error(error: BaseException) -> None:
    """Write one line to stderr, red for an error; with `ESPER_DEBUG=1` the traceback before it."""
    if os.environ.get("ESPER_DEBUG") == "1":
        traceback.print_exception(error)
    if isinstance(error, InterruptionError):
        typer.secho(one_line(error), fg="yellow", err=True)
        return
    typer.secho(f"error: {one_line(error)}", fg="red", err=True)


def _single_spaced(text: str) -> str:
    return " ".join(text.split())
