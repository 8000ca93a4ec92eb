import json

import pytest

from esper.kernels.errors import Remedy
from esper.kernels.faults import Fault, FaultLog
from esper.kernels.options import RecoveryOptions

ERROR = ValueError("a user's mistake")


def make_log(failures: int = 3) -> FaultLog:
    log = FaultLog()
    log.options = RecoveryOptions(failures=failures)
    return log


def test_a_kernel_rests_at_exactly_its_third_failure() -> None:
    log, resting = make_log(3), []
    for _ in range(3):
        log.failed(0, ERROR, Remedy.FALLBACK)
        resting.append(0 in log.resting)
    assert resting == [False, False, True]


def test_what_a_kernel_is_allowed_goes_before_the_option() -> None:
    log = make_log(3)
    log.allow(0, 1)
    log.failed(0, ERROR, Remedy.FALLBACK)
    assert log.resting == {0}


def test_a_kernel_that_took_the_memory_rests_at_once() -> None:
    log = make_log(3)
    log.failed(0, MemoryError(), Remedy.DEGRADE)
    assert log.resting == {0}


def test_failures_of_one_kernel_are_not_anothers() -> None:
    log = make_log(2)
    log.failed(0, ERROR, Remedy.FALLBACK)
    log.failed(1, ERROR, Remedy.FALLBACK)
    assert log.resting == set()


def test_a_kernel_that_is_taken_away_leaves_nothing_to_the_next_in_its_place() -> None:
    log = make_log(1)
    log.fossils.add(0)
    log.failed(0, ERROR, Remedy.FALLBACK)
    log.forget(0)
    assert log.state() == {"resting": [], "left": [], "faults": []}
    assert log.fossils == set()


def filled() -> FaultLog:
    log = FaultLog()
    log.note(1, ValueError("first\nline"), Remedy.FALLBACK)
    log.note(0, MemoryError(), Remedy.DEGRADE)
    log.note(1, ValueError("second"), Remedy.FALLBACK)
    log.note(1, ConnectionError("gone"), Remedy.RETRY)
    log.note(None, ConnectionError("gone"), Remedy.RETRY)
    return log


OF_SEED_1 = [
    Fault(seed=1, error="ValueError", remedy="fallback", message="first", count=2),
    Fault(seed=1, error="ConnectionError", remedy="retry", message="gone"),
]


def test_faults_of_one_kind_are_counted_and_the_first_one_is_quoted() -> None:
    assert filled().take(1) == OF_SEED_1


def test_what_was_taken_is_gone_and_the_others_stay() -> None:
    log = filled()
    log.take(1)
    assert log.take(1) == []
    assert [fault.error for fault in log.take(0)] == ["MemoryError"]
    assert [fault.error for fault in log.take(None)] == ["ConnectionError"]


def test_a_log_can_be_cleared() -> None:
    log = filled()
    log.clear()
    assert log.state()["faults"] == []


@pytest.mark.parametrize("left", [1, 2])
def test_a_log_that_is_saved_as_json_counts_on_where_it_stood(left: int) -> None:
    log = make_log()
    log.allow(0, left + 1)
    log.failed(0, ERROR, Remedy.FALLBACK)
    log.resting.add(1)
    other = make_log()
    other.load_state(json.loads(json.dumps(log.state())))
    assert other.resting == {1}
    other.failed(0, ERROR, Remedy.FALLBACK)
    assert (0 in other.resting) is (left == 1)
    assert [fault.count for fault in other.take(0)] == [2]
