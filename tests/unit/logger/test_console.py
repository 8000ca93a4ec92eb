"""Plain lines for a pipe, one display for a terminal; both are cheap and accept any name."""

import io
import time
from typing import Any

import pytest
from rich.console import Console

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.event import Event
from esper.contracts.stage import SeedStage
from esper.logger.console import ConsoleSink

SUMMARY = {"status": "finished", "epochs": 3, "test_accuracy": 0.9, "run_dir": "runs/x"}


def play(sink: ConsoleSink, move: Any, line: Any, slot: str = "block2") -> None:
    sink.start({"name": "digits", "epochs": 3, "run_dir": "runs/x"})
    decision = Decision(kind=DecisionKind.ADAPT, slot=slot, reason="plateau [3]")
    sink.event(Event(epoch=1, body=decision))
    sink.event(move(epoch=1, slot=slot, to_stage=SeedStage.GERMINATED))
    for epoch in (1, 2, 3):
        sink.epoch(line(epoch=epoch))
    sink.close(SUMMARY)


def test_a_pipe_gets_plain_lines_without_codes(move: Any, line: Any) -> None:
    out = io.StringIO()
    play(ConsoleSink(Console(file=out, width=40)), move, line)
    lines = out.getvalue().splitlines()
    assert lines[0] == "esper: digits  (runs/x)"
    assert lines[2].split()[0] == "1/3"
    assert lines[3].strip() == "+ block2 seed 1 germinated (lora): gate passed"
    assert lines[-1] == "Report:  esper report runs/x"
    assert "\x1b" not in out.getvalue()


def test_a_run_without_a_trial_says_why_once_and_at_its_end(line: Any) -> None:
    out = io.StringIO()
    sink = ConsoleSink(Console(file=out))
    sink.start({"name": "digits", "epochs": 9})
    for epoch in range(1, 10):
        reason = f"epoch {epoch} of 9 leaves no time for a trial"
        sink.event(Event(epoch=epoch, body=Decision(kind=DecisionKind.WAIT, reason=reason)))
        sink.epoch(line(epoch=epoch))
    sink.close(SUMMARY | {"epochs": 9, "seeds_germinated": 0})
    lines = [each.strip() for each in out.getvalue().splitlines()]
    told = [each for each in lines if "no time" in each]
    assert told == [
        "~ no trial since epoch 1: epoch 6 of 9 leaves no time for a trial",
        "Nothing was tried. Reason in 9 of 9 epochs: epoch 9 of 9 leaves no time for a trial.",
    ]
    assert lines[lines.index(told[0]) - 1].startswith("6/9")


def test_a_run_with_a_trial_does_not_say_why_it_waited(line: Any) -> None:
    out = io.StringIO()
    sink = ConsoleSink(Console(file=out))
    sink.start({"name": "digits", "epochs": 1})
    sink.event(Event(epoch=1, body=Decision(kind=DecisionKind.WAIT, reason="calm")))
    sink.epoch(line(epoch=1))
    sink.close(SUMMARY | {"seeds_germinated": 1})
    assert "calm" not in out.getvalue()


def test_a_forced_colour_does_not_make_a_terminal_of_a_pipe(
    move: Any, line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = io.StringIO()
    play(ConsoleSink(Console(file=out)), move, line)
    assert "\x1b[?25l" not in out.getvalue(), "the cursor was hidden, as a live display does"


@pytest.mark.parametrize("width", [30, 90])
@pytest.mark.parametrize("slot", ["block2", "a[0].b[/]", ""])
def test_the_display_shows_epochs_seeds_and_decisions_at_any_width(
    width: int, slot: str, move: Any, line: Any
) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, height=30, color_system=None)
    play(ConsoleSink(console, live=True), move, line, slot)
    shown = out.getvalue()
    assert "3/3" in shown
    assert "BLENDING" in shown
    assert "epoch 1  adapt" in shown
    last_words = shown[shown.index("Finished") :]
    assert "after 3 epochs" in " ".join(last_words.split())


def test_a_failed_run_leaves_the_terminal_as_it_was(line: Any) -> None:
    out = io.StringIO()
    sink = ConsoleSink(Console(file=out, force_terminal=True), live=True)
    sink.start({"epochs": 3})
    sink.epoch(line(epoch=1))
    sink.close(None)
    assert out.getvalue().endswith("\x1b[?25h") or "\x1b[?25h" in out.getvalue()
    assert "Finished" not in out.getvalue()


def test_a_run_that_failed_before_it_started_can_be_closed() -> None:
    ConsoleSink(Console(file=io.StringIO()), live=True).close(None)


def test_short_epochs_do_not_redraw_more_than_a_few_times_a_second(line: Any) -> None:
    out = io.StringIO()
    sink = ConsoleSink(Console(file=out, force_terminal=True, color_system=None), live=True)
    sink.start({"epochs": 500})
    began = time.perf_counter()
    for epoch in range(1, 501):
        sink.epoch(line(epoch=epoch))
    took = time.perf_counter() - began
    drawn = out.getvalue().count("loss 0.5000")
    sink.close(None)
    assert 1 <= drawn <= 2 + took / 0.25
