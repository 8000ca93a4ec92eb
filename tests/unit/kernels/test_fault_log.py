import json

from esper.kernels.errors import Remedy
from esper.kernels.faults import NOBODY, Fault, FaultLog


def make_notes() -> FaultLog:
    notes = FaultLog()
    notes.add("1", ValueError("first\nline"), Remedy.FALLBACK)
    notes.add("0", MemoryError(), Remedy.DEGRADE)
    notes.add("1", ValueError("second"), Remedy.FALLBACK)
    notes.add("1", ConnectionError("gone"), Remedy.RETRY)
    return notes


OF_SEED_1 = [
    Fault(seed="1", error="ValueError", remedy="fallback", message="first", count=2),
    Fault(seed="1", error="ConnectionError", remedy="retry", message="gone"),
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
    notes = FaultLog()
    notes.load_state(json.loads(json.dumps(make_notes().state())))
    notes.add("1", ValueError("third"), Remedy.FALLBACK)
    assert [found.count for found in notes.take("1")] == [3, 1]


def test_notes_can_be_cleared() -> None:
    notes = make_notes()
    notes.clear()
    assert notes.state() == []
