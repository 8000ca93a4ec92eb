"""The console: one live display on a terminal, plain lines anywhere else.

The training thread draws the display when an epoch ends, at most 4 times a second and for at most a
fiftieth of the time, so that drawing does not slow short epochs.
"""

import sys
import time
from typing import Any

from rich.console import Console
from rich.live import Live

from esper.contracts.decision import DecisionKind
from esper.contracts.event import Event, EventKind
from esper.logger.console_lines import HEADER, EventLines, epoch_line, final_lines
from esper.logger.display import State, render
from esper.logger.format import place
from esper.logger.waiting import Waiting

_SHORTEST_S = 0.25
_SHARE = 50


class _Screen(Console):
    """A console that raises when its reader is gone; rich would end the process."""

    def on_broken_pipe(self) -> None:
        """Raise, so that the bus removes the console and training continues."""
        raise BrokenPipeError("nothing reads the output any more")


class ConsoleSink:
    """Shows a run on the screen.

    Args:
        console: the output; stdout by default.
        live: whether to draw the live display; by default only on a terminal.
    """

    name = "console"

    def __init__(self, console: Console | None = None, *, live: bool | None = None) -> None:
        self._console = console or _Screen(highlight=False)
        # With FORCE_COLOR rich takes a pipe for a terminal, so this asks the file itself.
        self._is_screen = self._console.file.isatty() and not self._console.is_dumb_terminal
        # Warnings go above the display only if stderr is on the same screen.
        is_shared = sys.stderr is not None and sys.stderr.isatty()
        self._live = Live(console=self._console, auto_refresh=False, redirect_stderr=is_shared)
        self._is_live = self._is_screen if live is None else live
        self._state = State(name="esper", epochs=None)
        self._events = EventLines()
        self._waiting: list[str] = []
        self._why = Waiting()
        self._started = self._next_draw = 0.0

    def start(self, run: dict[str, Any]) -> None:
        """Start the display, or print the run's name and the head of the columns."""
        self._state.name = str(run.get("name") or "esper")
        self._state.epochs = run.get("epochs")
        self._started = time.monotonic()
        if self._is_live:
            self._live.start()
            return
        where = f"  ({run['run_dir']})" if run.get("run_dir") else ""
        self._say(f"esper: {self._state.name}{where}")
        if run.get("resumed_epoch"):
            self._say(f"continues after epoch {run['resumed_epoch']}")
        self._say(HEADER)

    def event(self, event: Event) -> None:
        """Buffer the line of an important event until the epoch's line is printed."""
        self._why.take(event)
        words = self._events.of(event)
        if words is not None:
            self._note(event.epoch, words)
        elif event.kind is EventKind.DECISION and event.body.kind is not DecisionKind.WAIT:
            words = f"{event.body.kind} {place(event.body.slot, event.body.seed)}"
            self._state.decisions.append(f"epoch {event.epoch}  {words}: {event.body.reason}")

    def epoch(self, line: dict[str, Any]) -> None:
        """Print the epoch's line and its events, or draw if a drawing is due.

        If the run has opened no trial for long, the reason is printed too, once.
        """
        accuracy = line.get("val_accuracy")
        if accuracy is not None:
            self._state.best_accuracy = max(accuracy, self._state.best_accuracy or accuracy)
        if (words := self._why.end_epoch(line["epoch"])) is not None:
            self._note(line["epoch"], words)
        self._state.line = line
        self._state.done += 1
        if self._is_live:
            self._draw_if_due()
            return
        self._say(epoch_line(line, self._state.epochs))
        self._say_waiting()

    def close(self, summary: dict[str, Any] | None) -> None:
        """Print the buffered lines or draw once more, then print the result."""
        self._say_waiting()
        if self._live.is_started:
            self._draw()
            self._live.stop()
        if summary is not None:
            self._say("")
            for words in final_lines(summary, self._why.most()):
                self._say(words)

    def _note(self, epoch: int, words: str) -> None:
        if not self._is_live:
            self._waiting.append(words)
        self._state.decisions.append(f"epoch {epoch}  {words}")

    def _draw_if_due(self) -> None:
        before = time.monotonic()
        if before < self._next_draw:
            return
        self._draw()
        after = time.monotonic()
        self._next_draw = after + max(_SHORTEST_S, _SHARE * (after - before))

    def _draw(self) -> None:
        self._state.elapsed_s = time.monotonic() - self._started
        self._live.update(render(self._state), refresh=True)

    def _say_waiting(self) -> None:
        for words in self._waiting:
            self._say(f"{'':>9}  {words}")
        self._waiting.clear()

    def _say(self, words: str) -> None:
        self._console.print(words, markup=False, highlight=False, soft_wrap=not self._is_screen)
