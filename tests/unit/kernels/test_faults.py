import json

import pytest

from esper.kernels.errors import Remedy
from esper.kernels.faults import FaultTracker
from esper.kernels.options import Recover

ERROR = ValueError("a user's mistake")


def make_care(failures: int = 3) -> FaultTracker:
    care = FaultTracker()
    care.options = Recover(failures=failures)
    return care


def test_a_kernel_rests_at_exactly_its_third_failure() -> None:
    care, resting = make_care(3), []
    for _ in range(3):
        care.failed("0", ERROR, Remedy.FALLBACK)
        resting.append("0" in care.resting)
    assert resting == [False, False, True]


def test_what_a_kernel_is_allowed_goes_before_the_option() -> None:
    care = make_care(3)
    care.allow("0", 1)
    care.failed("0", ERROR, Remedy.FALLBACK)
    assert care.resting == {"0"}


def test_a_kernel_that_took_the_memory_rests_at_once() -> None:
    care = make_care(3)
    care.failed("0", MemoryError(), Remedy.DEGRADE)
    assert care.resting == {"0"}


def test_failures_of_one_kernel_are_not_anothers() -> None:
    care = make_care(2)
    care.failed("0", ERROR, Remedy.FALLBACK)
    care.failed("1", ERROR, Remedy.FALLBACK)
    assert care.resting == set()


def test_a_kernel_that_is_taken_away_leaves_nothing_to_the_next_in_its_place() -> None:
    care = make_care(1)
    care.fossils.add("0")
    care.failed("0", ERROR, Remedy.FALLBACK)
    care.forget("0")
    assert care.state() == {"resting": [], "left": {}, "notes": []}
    assert care.fossils == set()


@pytest.mark.parametrize("left", [1, 2])
def test_a_count_goes_on_after_it_was_saved_in_the_middle(left: int) -> None:
    care = make_care()
    care.allow("0", left + 1)
    care.failed("0", ERROR, Remedy.FALLBACK)
    care.rest("1")
    other = make_care()
    other.load_state(json.loads(json.dumps(care.state())))
    assert other.resting == {"1"}
    other.failed("0", ERROR, Remedy.FALLBACK)
    assert ("0" in other.resting) is (left == 1)
    assert [found.count for found in other.notes.take("0")] == [2]
