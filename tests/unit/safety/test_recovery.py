"""Recovery from a kernel that fails, epoch by epoch."""

from collections.abc import Iterator

import pytest
import torch

from esper.contracts.event import Recovery
from esper.contracts.stage import SeedStage
from tests.unit.growth.faulty import Trouble, bank_in, offered, plant
from tests.unit.safety.failing_runs import MISTAKE, Run, fossilize, kinds

_S = SeedStage


@pytest.fixture
def troubles() -> Iterator[dict[str, Trouble]]:
    with offered("bad", "good") as found:
        yield found


def test_where_nothing_fails_nothing_is_reported(troubles: dict[str, Trouble]) -> None:
    run = Run.of("good")
    assert run.live() == []
    assert run.guard.state_dict() == Run.of("good").guard.state_dict()


def test_a_failure_is_reported_once_with_what_failed_and_how_often(
    troubles: dict[str, Trouble],
) -> None:
    run = Run.of("good", "bad")
    troubles["bad"].forward = MISTAKE
    recoveries = run.live(calls=2)
    assert recoveries == [
        Recovery(
            where="kernel",
            error="ValueError",
            strategy="fallback",
            recovered=True,
            message="kernel 'bad' of seed 1 in slot '1' failed 2 times: ValueError: mistake",
            slot="1",
            seed=1,
            blueprint="bad",
            count=2,
        )
    ]
    life = run.host.seed("1", 1).activation
    assert (life.errors, life.recoveries, life.rests) == (2, 2, False)
    assert run.guard.review(run.epoch) == []


def test_the_third_failure_in_a_row_opens_the_breaker_and_is_no_success(
    troubles: dict[str, Trouble],
) -> None:
    run = Run.of("bad")
    troubles["bad"].forward = MISTAKE
    opened = [kinds(run.live()) for _ in range(3)]
    assert opened[:2] == [[("fallback", 1, True)], [("fallback", 1, True)]]
    assert opened[2][:2] == [("fallback", 1, False), ("circuit_breaker", 1, False)]
    assert not run.takes_part()
    life = run.host.seed("1", 0).activation
    assert (life.errors, life.recoveries, life.rests) == (3, 2, True)
    assert run.guard.recovered == {"fallback": 2}
    assert run.guard.unrecovered["fallback"] == 1


def test_the_breaker_opens_in_the_middle_of_an_epoch_too(troubles: dict[str, Trouble]) -> None:
    run = Run.of("bad")
    troubles["bad"].forward = MISTAKE
    run.live(calls=1)
    assert kinds(run.live(calls=9)) == [("fallback", 2, False), ("circuit_breaker", 1, False)]
    assert troubles["bad"].num_calls == 3


def test_what_took_the_memory_is_left_out_for_one_epoch(troubles: dict[str, Trouble]) -> None:
    run = Run.of("bad")
    troubles["bad"].forward = torch.OutOfMemoryError("full")
    assert kinds(run.live(calls=4)) == [("degrade", 1, True)]
    assert run.takes_part()


def test_a_retry_that_worked_is_an_error_that_was_recovered(troubles: dict[str, Trouble]) -> None:
    run = Run.of("bad")
    troubles["bad"].forward, troubles["bad"].calls = ConnectionError("gone"), {1}
    assert kinds(run.live()) == [("retry", 1, True)]
    life = run.host.seed("1", 0).activation
    assert (life.errors, life.recoveries) == (1, 1)
    assert run.guard.quarantined == frozenset()


def test_an_epoch_without_a_failure_starts_the_count_again(troubles: dict[str, Trouble]) -> None:
    run = Run.of("bad", quarantine_after=9)
    trouble = troubles["bad"]
    for fails in (True, True, False, True, True, False):
        trouble.forward = MISTAKE if fails else None
        run.live()
        assert run.takes_part()
    trouble.forward = MISTAKE
    run.live(calls=3)
    assert not run.takes_part()


def test_it_rests_whole_epochs_and_comes_back_as_it_was(troubles: dict[str, Trouble]) -> None:
    run = Run.of("bad", rest_epochs=5, quarantine_after=9)
    whole = run.forward()
    troubles["bad"].forward = MISTAKE
    run.live(calls=3)
    troubles["bad"].heal()
    resting = []
    for _ in range(5):
        resting.append(not run.takes_part())
        assert run.live() == []
    assert resting == [True] * 5
    assert run.takes_part()
    assert run.host.seed("1", 0).activation.rests
    assert torch.equal(run.forward(), whole)
    recoveries = run.live()
    assert kinds(recoveries) == [("circuit_breaker", 1, True)]
    assert not run.host.seed("1", 0).activation.rests
    assert run.live() == []


def test_a_trial_that_fails_once_is_another_rest(troubles: dict[str, Trouble]) -> None:
    run = Run.of("bad", rest_epochs=2, quarantine_after=9)
    troubles["bad"].forward = MISTAKE
    run.live(calls=3)
    run.live()
    run.live()
    assert run.takes_part()
    assert kinds(run.live(calls=5)) == [("fallback", 1, False), ("circuit_breaker", 1, False)]
    assert troubles["bad"].num_calls == 3 + 1
    assert [run.takes_part(), run.live() or run.takes_part()] == [False, False]


def test_a_fossil_that_fails_rests_and_is_never_culled(troubles: dict[str, Trouble]) -> None:
    run = Run.of("bad", quarantine_after=1, rest_epochs=1)
    fossilize(run)
    assert bank_in(run.host, "1").faults.fossils == {0}
    troubles["bad"].forward = MISTAKE
    run.live(calls=3)
    assert run.guard.quarantined == {"bad"}
    assert run.guard.cull(run.epoch) == []
    assert not run.takes_part()
    troubles["bad"].heal()
    run.live()
    assert kinds(run.live()) == [("circuit_breaker", 1, True)]


def test_a_seed_on_probation_whose_kernel_rests_is_culled(troubles: dict[str, Trouble]) -> None:
    run = Run.of("bad", "bad", quarantine_after=99)
    for stage in (_S.SHADOWING, _S.PROBATIONARY):
        run.host.advance("1", 0, stage, None, "a test wants it")
    troubles["bad"].forward = MISTAKE
    run.live(calls=2)
    assert run.guard.cull(run.epoch) == []
    run.live()
    moves = run.guard.cull(run.epoch)
    assert [move.reason for move in moves[:1]] == ["its kernel rests after 3 failures"]
    assert {move.seed for move in moves} == {0}


def test_a_new_kernel_in_the_same_place_has_a_record_of_its_own(
    troubles: dict[str, Trouble],
) -> None:
    run = Run.of("bad", quarantine_after=9)
    troubles["bad"].forward = MISTAKE
    run.live(calls=3)
    run.host.cull("1", 0, 1, "a test wants it")
    for stage in (_S.EMBARGOED, _S.RESETTING, _S.DORMANT):
        run.host.advance("1", 0, stage, None, "a test wants it")
    troubles["bad"].heal()
    plant(run.host, "1", 0, "bad")
    run.guard.prepare(run.epoch)
    assert run.takes_part()
    troubles["bad"].forward = MISTAKE
    assert kinds(run.live(calls=2)) == [("fallback", 2, True)]
