"""What went wrong, as one line."""

import pytest

from esper.app.errors import one_line, print_error
from esper.contracts.errors import DataError


def test_an_error_of_ours_speaks_for_itself() -> None:
    assert one_line(DataError("data.path: no file\n  at x")) == "data.path: no file at x"


def test_a_file_that_cannot_be_written_is_named() -> None:
    assert (
        one_line(PermissionError(13, "Permission denied", "runs/x")) == "Permission denied: runs/x"
    )
    assert one_line(OSError(28, "No space left on device")) == "No space left on device"


def test_what_nobody_foresaw_says_its_type_and_where_to_look() -> None:
    assert one_line(KeyError("slot")) == "KeyError: 'slot' (ESPER_DEBUG=1 shows where)"


def test_notes_follow_the_text() -> None:
    error = DataError("broken")
    error.add_note("in measure(7)")
    assert one_line(error) == "broken in measure(7)"


def test_the_traceback_is_shown_only_when_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESPER_DEBUG", "1")
    print_error(DataError("broken"))
    loud = capsys.readouterr().err
    monkeypatch.setenv("ESPER_DEBUG", "0")
    print_error(DataError("broken"))
    assert "DataError: broken" in loud
    assert capsys.readouterr().err == "error: broken\n"
