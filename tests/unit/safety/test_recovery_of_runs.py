"""Recovery from blueprints that fail, in twins, and after a restored state."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from esper.attribution.compare import Comparison, Trial
from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.event import KernelBuilt
from esper.contracts.stage import SeedStage
from esper.growth.host import Host
from esper.kernels.errors import Remedy
from tests.unit.growth.faulty import Trouble, bank_in, offered
from tests.unit.safety.failing_runs import MISTAKE, Run, kinds

_S = SeedStage


@pytest.fixture
def troubles() -> Iterator[dict[str, Trouble]]:
    with offered("bad", "good") as found:
        yield found


def test_epochs_in_which_a_kernel_fails_bring_its_blueprint_into_quarantine(
    troubles: dict[str, Trouble],
) -> None:
    run = Run.of("bad", "good", "bad", failures=9, quarantine_after=3)
    troubles["bad"].forward = MISTAKE
    assert [kind for kind, _, _ in kinds(run.live(calls=2))] == ["fallback", "fallback"]
    recoveries = run.live()
    assert kinds(recoveries) == [
        ("fallback", 1, True),
        ("quarantine", 1, False),
        ("fallback", 1, True),
    ]
    assert recoveries[1].message == "blueprint 'bad' failed 3 times and is barred from the run"
    for barred, then in (((), ("bad",)), (("good", "bad"), ("good", "bad"))):
        decision = Decision(
            kind=DecisionKind.ADAPT, reason="a test wants it", slot="1", barred=barred
        )
        assert run.guard.bar(decision).barred == then


def test_live_seeds_in_quarantine_are_culled_and_the_others_stay(
    troubles: dict[str, Trouble],
) -> None:
    run = Run.of("bad", "good", quarantine_after=1)
    troubles["bad"].forward = MISTAKE
    run.live()
    moves = run.guard.cull(run.epoch)
    assert [(move.seed, move.to_stage) for move in moves] == [(0, _S.CULLED), (0, _S.EMBARGOED)]
    assert moves[0].reason == "blueprint 'bad' is in quarantine"
    assert run.host.seed("1", 1).stage is _S.BLENDING


def attempt(blueprint: str = "odd") -> KernelBuilt:
    return KernelBuilt(
        slot="1",
        seed=2,
        blueprint=blueprint,
        parameters=0,
        flops=0,
        build_ms=0,
        error=f"blueprint '{blueprint}' in slot '1' cannot be built: it raises",
    )


def test_three_failed_builds_are_a_quarantine_and_none_is_a_recovery(
    troubles: dict[str, Trouble],
) -> None:
    run = Run.of("good")
    recoveries = [kinds(run.guard.build_failed(attempt())) for _ in range(4)]
    failed, barred = ("degrade", 1, False), ("quarantine", 1, False)
    assert recoveries == [[failed], [failed], [failed, barred], [failed]]
    assert run.guard.quarantined == {"odd"}


def test_dormant_seeds_wait_for_no_blueprint_in_quarantine(troubles: dict[str, Trouble]) -> None:
    run = Run.of("good")
    slot = run.host.slots["1"]
    before = slot.seeds[1].bound
    for _ in range(3):
        run.guard.build_failed(attempt(before))
    run.guard.prepare(1)
    bound = [seed.bound for seed in slot.seeds]
    assert before not in bound
    assert bound[0] == "good"
    assert len(set(bound)) == len(bound)


def with_twin(run: Run) -> Host:
    """Open a growth event whose twin holds the same kernels."""
    twin = run.host.copy()
    change = Trial(0, 0, {}, twin, Comparison(3))
    run.guard.trials.open.append(change)
    return twin


def test_a_twin_rests_with_the_network_and_its_own_failures_do_not_count(
    troubles: dict[str, Trouble],
) -> None:
    run = Run.of("bad")
    twin = with_twin(run)
    run.guard.prepare(0)
    troubles["bad"].forward = MISTAKE
    for _ in range(2):
        run.forward(twin)
    assert run.live() != []
    assert run.host.seed("1", 0).activation.errors == 1
    assert bank_in(twin, "1").faults.state()["faults"] == []
    run.live(calls=2)
    assert bank_in(twin, "1").faults.resting == {0}
    run.guard.trials.open.clear()


def test_what_failed_in_a_step_of_no_single_kernel_is_reported_as_training(
    troubles: dict[str, Trouble],
) -> None:
    run = Run.of("good")
    bank_in(run.host, "1").faults.note(None, ConnectionError("gone"), Remedy.RETRY)
    (recoveries,) = run.live()
    assert (recoveries.where, recoveries.strategy, recoveries.seed, recoveries.recovered) == (
        "training",
        "retry",
        None,
        True,
    )


def lived(run: Run, story: list[int]) -> list[Any]:
    return [(run.live(calls), run.takes_part()) for calls in story]


@pytest.mark.parametrize("done", range(7))
def test_a_run_that_is_taken_up_again_goes_on_at_the_same_failure(
    troubles: dict[str, Trouble], done: int
) -> None:
    """Two failures, the third, two epochs of rest, a trial, and two more."""
    story, trouble = [2, 1, 1, 1, 1, 1, 1], troubles["bad"]
    run, other = (Run.of("bad", rest_epochs=2, quarantine_after=2) for _ in range(2))
    trouble.forward, trouble.calls = MISTAKE, {1, 2, 3}
    lived(run, story[:done])
    saved = json.loads(json.dumps(run.guard.state_dict()))
    bookkeeping, num_calls = bank_in(run.host, "1").bookkeeping(), trouble.num_calls
    expected = lived(run, story[done:])

    trouble.num_calls = num_calls
    bank_in(other.host, "1").take_bookkeeping(bookkeeping)
    other.guard.load_state_dict(saved)
    other.epoch = done
    assert lived(other, story[done:]) == expected
    assert other.guard.state_dict() == run.guard.state_dict()


def test_the_story_of_that_test_holds_a_rest_a_trial_and_a_quarantine(
    troubles: dict[str, Trouble],
) -> None:
    run = Run.of("bad", rest_epochs=2, quarantine_after=2)
    troubles["bad"].forward, troubles["bad"].calls = MISTAKE, {1, 2, 3}
    story = lived(run, [2, 1, 1, 1, 1, 1, 1])
    assert [part for _, part in story] == [True, False, False, True, True, True, True]
    assert [[kind for kind, _, _ in kinds(recoveries)] for recoveries, _ in story] == [
        ["fallback"],
        ["fallback", "circuit_breaker", "quarantine"],
        [],
        [],
        ["circuit_breaker"],
        [],
        [],
    ]


def test_failures_of_one_blueprint_are_not_anothers_and_go_through_json() -> None:
    run = Run.of(quarantine_after=2)
    for name in ("odd", "odd", "mlp"):
        run.guard.build_failed(attempt(name))
    assert run.guard.quarantined == {"odd"}
    other = Run.of(quarantine_after=2)
    other.guard.load_state_dict(json.loads(json.dumps(run.guard.state_dict())))
    assert other.guard.quarantined == {"odd"}
    assert kinds(other.guard.build_failed(attempt("mlp")))[1:] == [("quarantine", 1, False)]


def test_a_quarantine_names_the_kernel_that_failed_last() -> None:
    (_, barred) = Run.of(quarantine_after=1).guard.build_failed(attempt("odd"))
    assert (barred.strategy, barred.recovered, barred.blueprint) == ("quarantine", False, "odd")
    assert (barred.slot, barred.seed, barred.error) == ("1", 2, "KernelError")


def test_a_dormant_seed_is_bound_to_a_blueprint_of_no_other_seed() -> None:
    run = Run.of(quarantine_after=1)
    slot = run.host.slots["1"]
    first = [seed.bound for seed in slot.seeds]
    run.guard.build_failed(attempt(first[0]))
    run.guard.prepare(1)
    expected = next(name for name in slot.spec.catalogue if name not in first)
    assert [seed.bound for seed in slot.seeds] == [expected, *first[1:]]


def test_seeds_keep_their_binding_if_they_live_or_nothing_else_is_on_offer(
    troubles: dict[str, Trouble],
) -> None:
    run = Run.of("good", quarantine_after=1)
    slot = run.host.slots["1"]
    first = [seed.bound for seed in slot.seeds]
    run.guard.build_failed(attempt("good"))
    run.guard.prepare(1)
    assert [seed.bound for seed in slot.seeds] == first
    for name in slot.spec.catalogue:
        run.guard.build_failed(attempt(name))
    run.guard.prepare(2)
    assert [seed.bound for seed in slot.seeds] == first
