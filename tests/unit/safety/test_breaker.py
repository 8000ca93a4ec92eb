"""The breaker's moves, each at the very number where it must happen."""

import json

import pytest

from esper.safety.breaker import Breaker


def opened_breaker(*, at: float = 10.0) -> Breaker:
    breaker = Breaker(failures=3, rest=5.0)
    for _ in range(3):
        breaker.failed(at)
    return breaker


def test_a_fresh_breaker_is_closed_and_allows() -> None:
    breaker = Breaker()
    assert (breaker.state, breaker.allows(0.0)) == ("closed", True)


def test_it_opens_at_exactly_the_third_failure_and_says_so_once() -> None:
    breaker = Breaker(failures=3)
    assert [breaker.failed(1.0) for _ in range(4)] == [False, False, True, False]
    assert (breaker.state, breaker.allows(1.0)) == ("open", False)


def test_a_success_between_failures_starts_the_count_again() -> None:
    breaker = Breaker(failures=2)
    breaker.failed(1.0)
    breaker.succeeded()
    assert not breaker.failed(2.0)
    assert breaker.failed(3.0)


def test_it_rests_its_whole_rest_and_then_hands_out_one_trial() -> None:
    breaker = opened_breaker(at=10.0)
    assert not breaker.allows(14.9)
    assert breaker.allows(15.0)
    assert breaker.state == "half_open"
    assert not breaker.allows(15.1)


def test_a_late_failure_while_it_is_open_does_not_prolong_the_rest() -> None:
    breaker = opened_breaker(at=10.0)
    assert not breaker.failed(14.0)
    assert breaker.allows(15.0)


def test_a_trial_that_works_closes_it_with_a_fresh_count() -> None:
    breaker = opened_breaker(at=10.0)
    breaker.allows(15.0)
    breaker.succeeded()
    assert (breaker.state, breaker.allows(15.0)) == ("closed", True)
    assert [breaker.failed(16.0) for _ in range(3)] == [False, False, True]


def test_a_trial_that_fails_opens_it_at_once_for_another_rest() -> None:
    breaker = opened_breaker(at=10.0)
    breaker.allows(15.0)
    assert breaker.failed(15.5)
    assert not breaker.allows(20.4)
    assert breaker.allows(20.5)


def test_a_trial_without_a_report_is_followed_by_another_after_a_rest() -> None:
    breaker = opened_breaker(at=10.0)
    assert breaker.allows(15.0)
    assert not breaker.allows(19.9)
    assert breaker.allows(20.0)


def test_a_breaker_on_trial_goes_on_from_its_saved_state() -> None:
    breaker = opened_breaker(at=10.0)
    breaker.allows(15.0)
    saved = json.loads(json.dumps(breaker.state_dict()))
    other = Breaker(failures=3, rest=5.0)
    other.load_state_dict(saved)
    assert other.state == "half_open"
    assert other.failed(16.0)
    assert not other.allows(20.9)


@pytest.mark.parametrize(
    ("failures", "rest", "name"),
    [(0, 1.0, "failures"), (1, -1.0, "rest"), (1, float("nan"), "rest")],
)
def test_an_argument_out_of_range_is_refused_by_name(failures: int, rest: float, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Breaker(failures=failures, rest=rest)
