"""The breaker's transitions, each in its exact epoch."""

import json
from dataclasses import asdict

from esper.safety.breaker import Breaker

MOST, REST = 3, 5


def opened_breaker(*, at: int = 10) -> Breaker:
    breaker = Breaker()
    for _ in range(MOST):
        breaker.fail(at, MOST)
    return breaker


def test_a_fresh_breaker_is_closed_and_allows() -> None:
    breaker = Breaker()
    assert (breaker.is_open, breaker.allows(0, REST)) == (False, True)


def test_it_opens_at_exactly_the_third_failure_and_says_so_once() -> None:
    breaker = Breaker()
    assert [breaker.fail(1, MOST) for _ in range(4)] == [False, False, True, False]
    assert (breaker.is_open, breaker.allows(1, REST)) == (True, False)


def test_a_success_between_failures_starts_the_count_again() -> None:
    breaker = Breaker()
    breaker.fail(1, 2)
    breaker.succeed()
    assert not breaker.fail(2, 2)
    assert breaker.fail(3, 2)


def test_it_rests_its_whole_rest_and_then_hands_out_one_trial() -> None:
    breaker = opened_breaker(at=10)
    assert not breaker.allows(14, REST)
    assert breaker.allows(15, REST)
    assert (breaker.is_open, breaker.is_on_trial) == (False, True)
    assert not breaker.allows(16, REST)


def test_a_late_failure_while_it_is_open_does_not_prolong_the_rest() -> None:
    breaker = opened_breaker(at=10)
    assert not breaker.fail(14, MOST)
    assert (breaker.count, breaker.failed_at) == (3, 14)
    assert breaker.allows(15, REST)


def test_a_trial_that_works_closes_it_with_a_fresh_count() -> None:
    breaker = opened_breaker(at=10)
    breaker.allows(15, REST)
    breaker.succeed()
    assert (breaker.is_open, breaker.allows(15, REST)) == (False, True)
    assert [breaker.fail(16, MOST) for _ in range(3)] == [False, False, True]


def test_a_trial_that_fails_opens_it_at_once_for_another_rest() -> None:
    breaker = opened_breaker(at=10)
    breaker.allows(15, REST)
    assert breaker.fail(16, MOST)
    assert not breaker.allows(20, REST)
    assert breaker.allows(21, REST)


def test_a_trial_without_a_report_is_followed_by_another_after_a_rest() -> None:
    breaker = opened_breaker(at=10)
    assert breaker.allows(15, REST)
    assert not breaker.allows(19, REST)
    assert breaker.allows(20, REST)


def test_a_breaker_on_trial_goes_on_from_its_saved_state() -> None:
    breaker = opened_breaker(at=10)
    breaker.allows(15, REST)
    other = Breaker(**json.loads(json.dumps(asdict(breaker))))
    assert other.is_on_trial
    assert other.fail(16, MOST)
    assert not other.allows(20, REST)
