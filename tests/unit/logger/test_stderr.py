"""A warning is a separate line, also above a live display."""

import io
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from esper.logger.console import ConsoleSink
from esper.logger.stderr import StderrHandler


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    log = logging.getLogger("esper.test_warnings")
    handler = StderrHandler()
    log.addHandler(handler)
    log.propagate = False
    yield log
    log.removeHandler(handler)


def test_a_warning_stands_above_the_live_display(
    log: logging.Logger, line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    console = Console(file=screen, force_terminal=True, color_system=None, width=80)
    sink = ConsoleSink(console, live=True)
    sink.start({"name": "digits", "epochs": 3})
    sink.epoch(line(epoch=1))
    log.warning("the server is gone")
    sink.close(None)
    # The display is wiped, the warning takes its place, and the display follows below.
    before, after = screen.getvalue().split("the server is gone\n")
    assert before.endswith("\x1b[2K")
    assert "1/3" in after
    assert sys.stderr is screen, "the terminal is as it was"


def test_a_warning_goes_to_the_file_that_stderr_is(
    log: logging.Logger, line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen, file = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    sink = ConsoleSink(Console(file=screen, force_terminal=True, width=80), live=True)
    sink.start({"name": "digits", "epochs": 3})
    sink.epoch(line(epoch=1))
    log.warning("the server is gone")
    sink.close(None)
    assert file.getvalue() == "the server is gone\n"
    assert "gone" not in screen.getvalue()


def test_a_stderr_that_is_gone_stops_nothing(
    log: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    monkeypatch.setattr(logging, "raiseExceptions", False)
    log.warning("nobody reads this")
