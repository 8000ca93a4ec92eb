"""Trials: opening, counting and settling; `test_twin` tests the twins."""

import pytest

from esper.attribution.options import Attribution
from esper.attribution.trials import Trials
from esper.contracts.outcome import Outcome
from esper.contracts.plan import Action, Plan, SeedChange
from esper.contracts.stage import SeedStage
from esper.probe.rng_state import RngState
from tests.unit.attribution.runs import FIRST, SECOND, TWIN, run
from tests.unit.growth.builders import germination, kernels_for, make_host, make_metrics, train

_S = SeedStage


def together(*seeds: tuple[int, str]) -> Plan:
    changes = tuple(
        SeedChange(action=Action.GERMINATE, seed=seed, blueprint=name) for seed, name in seeds
    )
    return Plan(slot="block1", kind="test", changes=changes, reasoning="a test wants it")


def open_trial(pending: Trials, plan: Plan) -> None:
    """Apply a plan with a kernel for every germination."""
    pending.apply(plan, kernels_for(pending.host, plan), make_metrics())


def told(outcomes: list[Outcome]) -> list[tuple[int, str, bool]]:
    return [(outcome.seed, outcome.blueprint, outcome.fossilized) for outcome in outcomes]


def test_every_life_is_settled_once_and_an_event_closes_with_its_last_seed() -> None:
    host = make_host("mlp")
    pending = Trials(host, TWIN)
    open_trial(pending, together((0, "mlp"), (1, "affine")))
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


@pytest.mark.parametrize("method", ["muting", "ablation"])
def test_only_the_method_of_twins_copies_the_network(method: str) -> None:
    pending = Trials(make_host("mlp"), Attribution(method=method))
    open_trial(pending, germination("block1", 0, "mlp"))
    assert pending.twins == []
    assert pending.flops(10) == 0.0
    pending.train_twins(None, RngState.now())


def test_a_plan_without_germinations_opens_no_event() -> None:
    host = make_host("mlp")
    pending = Trials(host, TWIN)
    open_trial(pending, germination("block1", 0, "mlp"))
    assert len(pending.twins) == 1
    cull = SeedChange(action=Action.CULL, seed=0)
    plan = Plan(slot="block1", kind="test", changes=(cull,), reasoning="")
    open_trial(pending, plan)
    assert pending.num_events == 1
    assert told(pending.settle(1)) == [(0, "mlp", False)]
    assert pending.open == []


def test_a_seed_replaced_at_once_closes_its_first_event_and_opens_another() -> None:
    host = make_host("mlp")
    pending = Trials(host, Attribution())
    open_trial(pending, germination("block1", 0, "mlp"))
    swap = Plan(
        slot="block1",
        kind="replace",
        changes=(
            SeedChange(action=Action.CULL, seed=0, rests=False),
            SeedChange(action=Action.GERMINATE, seed=0, blueprint="affine"),
        ),
        reasoning="",
    )
    open_trial(pending, swap)
    assert told(pending.settle(3)) == [(0, "mlp", False)]
    (change,) = pending.open
    assert (change.index, change.seeds) == (1, {("block1", 0): 2})


def test_a_twin_without_a_loop_to_train_it_is_refused() -> None:
    growing = run({2: [FIRST]}).go(2)
    train(growing.model, growing.host.optimizer, 2)
    with pytest.raises(ValueError, match=r"attribution.method=twin needs step\(..., train=...\)"):
        growing.step(trained=None)


def test_the_cost_of_training_twins_is_counted() -> None:
    growing = run({2: [FIRST], 3: [SECOND]}).go(2)
    (twin,) = growing.twins
    assert twin.flops < growing.host.flops
    # Three forwards' worth a trained sample.
    assert growing.pending.flops(10) == 30 * twin.flops
    growing.go(1)
    first, second = growing.twins
    assert growing.pending.flops(10) == 30 * (first.flops + second.flops)


def test_a_rollback_gives_all_trials_up() -> None:
    growing = run({2: [FIRST]}).go(3)
    growing.pending.give_up()
    assert (growing.pending.open, growing.host.is_followed) == ([], False)


def test_a_plan_that_fails_opens_no_event() -> None:
    growing = run({})
    with pytest.raises(Exception, match="unknown blueprint"):
        open_trial(growing.pending, germination("0", 0, "nonsense"))
    assert (growing.pending.open, growing.pending.num_events) == ([], 0)
