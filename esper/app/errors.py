"""One line for whatever went wrong, and the traceback for those who ask with `ESPER_DEBUG=1`."""

import os
import traceback

import typer

from esper.contracts.errors import EsperError, InterruptionError

INTERRUPTED = 130
"""Exit code of a run that was stopped after a checkpoint was written."""


def line(error: BaseException) -> str:
    """Return what went wrong as one line.

    An `EsperError` says it itself; an `OSError` names its file; anything else is unexpected, so its
    type is named and how to see where it came from.
    """
    if isinstance(error, EsperError):
        return _one_line(str(error))
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return _one_line(f"{error.strerror}{where}")
    text = _one_line(str(error))
    return f"{type(error).__name__}: {text} (ESPER_DEBUG=1 shows where)"


def tell(error: BaseException) -> None:
    """Write one line to stderr, red for an error; with `ESPER_DEBUG=1` the traceback before it."""
    if os.environ.get("ESPER_DEBUG") == "1":
        traceback.print_exception(error)
    if isinstance(error, InterruptionError):
        typer.secho(line(error), fg="yellow", err=True)
        return
    typer.secho(f"error: {line(error)}", fg="red", err=True)


def _one_line(text: str) -> str:
    return " ".join(text.split())
