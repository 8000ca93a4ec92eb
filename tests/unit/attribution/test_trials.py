"""Trials: opening, counting and settling; `test_twin` tests the twins."""

import pytest

from esper.attribution.trials import Trials
from esper.contracts.outcome import Outcome
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.stage import SeedStage
from tests.unit.attribution.runs import FIRST, Run, run
from tests.unit.growth.builders import germination, kernels_for, make_host, make_metrics, train

_S = SeedStage


def together(*seeds: tuple[int, str]) -> Plan:
    changes = tuple(
        SeedChange(action=Action.GERMINATE, seed=seed, blueprint=name) for seed, name in seeds
    )
    return Plan(slot="block1", kind="test", changes=changes, reasoning="a test wants it")


def open_trial(pending: Trials, plan: Plan, *, with_twin: bool) -> None:
    """Apply a plan with a kernel for every germination."""
    pending.apply(plan, kernels_for(pending.host, plan), make_metrics(), with_twin=with_twin)


def told(outcomes: list[Outcome]) -> list[tuple[int, str, bool]]:
    return [(outcome.seed, outcome.blueprint, outcome.fossilized) for outcome in outcomes]


def test_every_life_is_settled_once_and_an_event_closes_with_its_last_seed() -> None:
    host = make_host("mlp")
    pending = Trials(host)
    open_trial(pending, together((0, "mlp"), (1, "affine")), with_twin=True)
    (change,) = pending.open
    assert change.seeds == {("block1", 0): 1, ("block1", 1): 1}
    assert change.twin is not None
    assert pending.settle(1) == []

    host.cull("block1", 0, 1, "")
    assert told(pending.settle(1)) == [(0, "mlp", False)]
    assert pending.settle(1) == []
    assert pending.open == [change]
    assert [seed.index for seed in change.open_seeds(host)] == [1]

    host.blend("block1", 1, 1.0, None, "")
    for stage in (_S.SHADOWING, _S.PROBATIONARY, _S.FOSSILIZED):
        host.advance("block1", 1, stage, None, "")
    assert told(pending.settle(2)) == [(1, "affine", True)]
    assert pending.open == []


def test_a_plan_without_germinations_opens_no_event() -> None:
    host = make_host("mlp")
    pending = Trials(host)
    open_trial(pending, germination("block1", 0, "mlp"), with_twin=False)
    assert pending.open[0].twin is None
    cull = SeedChange(action=Action.CULL, seed=0)
    plan = Plan(slot="block1", kind="test", changes=(cull,), reasoning="")
    open_trial(pending, plan, with_twin=True)
    assert pending.num_events == 1
    assert told(pending.settle(1)) == [(0, "mlp", False)]
    assert pending.open == []


def test_a_seed_replaced_at_once_closes_its_first_event_and_opens_another() -> None:
    host = make_host("mlp")
    pending = Trials(host)
    open_trial(pending, germination("block1", 0, "mlp"), with_twin=False)
    swap = Plan(
        slot="block1",
        kind="replace",
        changes=(
            SeedChange(action=Action.CULL, seed=0, rests=False),
            SeedChange(action=Action.GERMINATE, seed=0, blueprint="affine"),
        ),
        reasoning="",
    )
    open_trial(pending, swap, with_twin=False)
    assert told(pending.settle(3)) == [(0, "mlp", False)]
    (change,) = pending.open
    assert (change.index, change.seeds) == (1, {("block1", 0): 2})


def test_without_a_loop_twins_are_given_up() -> None:
    growing = run({2: [FIRST]}).go(4)
    assert len(growing.twins) == 1
    train(growing.model, growing.host.optimizer, 4)
    growing.step(trained=None)
    assert growing.twins == []
    assert len(growing.pending.open) == 1
    for number in (5, 6):
        train(growing.model, growing.host.optimizer, number)
        growing.step(trained=None)
    life = growing.host.seed("0", 0).activation
    assert life.gain == life.ablation


def test_the_cost_of_twins_and_evaluations_is_counted() -> None:
    growing = run({2: [FIRST]}).go(2)
    (twin,) = growing.twins
    assert twin.flops < growing.host.flops
    # Three forwards' worth a trained sample, one an evaluated one.
    assert growing.pending.flops(10, 5) == twin.flops * (3 * 10 + 5)
    growing.go(2)
    assert growing.host.seed("0", 0).stage is _S.SHADOWING
    assert growing.pending.flops(10, 5) == twin.flops * (3 * 10 + 5) + growing.host.flops * 5
    assert Run(growing.host, {}).pending.flops(10, 5) == growing.host.flops * 5


def test_a_plan_that_fails_opens_no_event() -> None:
    growing = run({})
    with pytest.raises(Exception, match="unknown blueprint"):
        open_trial(growing.pending, germination("0", 0, "nonsense"), with_twin=True)
    assert (growing.pending.open, growing.pending.num_events) == ([], 0)
