"""Growing does no harm: short runs do not grow, and nothing is removed after the last step."""

from typing import Any

import pytest

from esper.contracts.event import EventKind
from esper.contracts.stage import BLENDED, LIVE, SeedStage
from esper.policy.heuristic import Heuristic
from esper.policy.random import Random
from esper.policy.schedule import Schedule
from tests.unit.scripted import Run, adapt, go, same_weights, script

_S = SeedStage


def eager(epochs: int) -> Any:
    """Return a policy that wants to grow after every epoch."""
    return script(**{f"e{e}": [adapt("0", 1), adapt("3", 1)] for e in range(1, epochs + 1)})


def moves(run: Run, stage: SeedStage) -> list[int]:
    """Return the epochs of the moves to a stage."""
    return [
        event.epoch
        for event in run.told.events
        if event.kind is EventKind.LIFECYCLE and event.body.to_stage is stage
    ]


def short(epochs: int, policy: Any) -> Run:
    return go(policy=policy, epochs=epochs, steps=epochs)


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "policy", ["eager", Heuristic(grow_until=1.0), Random(grow_until=1.0), Schedule(grow_until=1.0)]
)
def test_a_run_of_up_to_five_epochs_is_a_run_without_growth(policy: Any, epochs: int) -> None:
    run = short(epochs, eager(epochs) if policy == "eager" else policy)
    never = short(epochs, "never")
    assert not run.told.of(EventKind.LIFECYCLE)
    assert [r.flops for r in run.reports] == [r.flops for r in never.reports]
    for each in (run, never):
        each.grower.read_out()
    assert same_weights(run.model, never.model)


def test_a_run_of_six_epochs_grows_after_the_first_alone() -> None:
    run = short(6, eager(6))
    assert moves(run, _S.GERMINATED) == [1, 1]
    # The look at age 4 is an epoch before the end, and nobody judged then.
    assert moves(run, _S.CULLED) == [5, 5]
    assert [found.age for found in run.told.of(EventKind.PERFORMANCE)] == [4, 4]
    assert not [event for event in run.told.events if event.epoch == 6 and is_change(event.body)]


def is_change(body: Any) -> bool:
    return getattr(body, "to_stage", None) in BLENDED | LIVE | {_S.CULLED}


@pytest.mark.parametrize("epochs", range(6, 15))
def test_no_kernel_is_open_or_removed_after_the_last_step(epochs: int) -> None:
    run = short(epochs, eager(epochs))
    assert max(moves(run, _S.GERMINATED)) <= epochs - 5
    # A kernel is culled a quarter of the run before its end, or at age 4 if that is later.
    youngest = max(moves(run, _S.GERMINATED)) + 4
    assert max(moves(run, _S.CULLED)) == max(youngest, epochs - max(1, epochs // 4)) <= epochs - 1
    held = [sum(1 for seed in r.observation.live_seeds) for r in run.reports]
    assert held[-1] == 0
    assert run.reports[-1].observation.may_grow is False


def test_a_look_that_is_due_too_late_is_taken_a_quarter_before_the_end() -> None:
    # Germinated after epoch 3 of 10: ages 4 and, instead of 6, 5.
    run = short(10, script(e3=[adapt("0", 1)]))
    ages = [found.age for found in run.told.of(EventKind.PERFORMANCE)]
    assert ages == [4, 5]
    looks = [seed.look for r in run.reports for seed in r.observation.live_seeds if seed.look]
    assert [(look.epoch, look.is_last) for look in looks] == [(7, False), (8, True)]
