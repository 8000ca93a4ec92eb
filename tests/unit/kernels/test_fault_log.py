import json

from esper.kernels.errors import Strategy
from esper.kernels.faults import NOBODY, Incident, Notes


def make_notes() -> Notes:
    notes = Notes()
    notes.add("1", ValueError("first\nline"), Strategy.FALLBACK)
    notes.add("0", MemoryError(), Strategy.DEGRADE)
    notes.add("1", ValueError("second"), Strategy.FALLBACK)
    notes.add("1", ConnectionError("gone"), Strategy.RETRY)
    return notes


OF_SEED_1 = [
    Incident(seed="1", error="ValueError", strategy="fallback", message="first", count=2),
    Incident(seed="1", error="ConnectionError", strategy="retry", message="gone"),
]


def test_failures_of_one_kind_are_counted_and_the_first_one_is_quoted() -> None:
    assert make_notes().take("1") == OF_SEED_1


def test_what_was_taken_is_forgotten_and_the_others_stay() -> None:
    notes = make_notes()
    notes.take("1")
    assert notes.take("1") == []
    assert [found.error for found in notes.take("0")] == ["MemoryError"]
    assert notes.take(NOBODY) == []


def test_notes_go_through_json_and_count_on() -> None:
    notes = Notes()
    notes.load_state(json.loads(json.dumps(make_notes().state())))
    notes.add("1", ValueError("third"), Strategy.FALLBACK)
    assert [found.count for found in notes.take("1")] == [3, 1]


def test_notes_can_be_cleared() -> None:
    notes = make_notes()
    notes.clear()
    assert notes.state() == []
