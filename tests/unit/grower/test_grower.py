"""The grower in a user's loop: plain torch, dropout, shuffling by the global generator."""

from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch.optim import SGD

from esper.attribution.options import METHODS, Attribution
from esper.contracts.decision import DecisionKind
from esper.contracts.event import EventKind
from esper.contracts.stage import LIVE, SeedStage
from esper.growth.options import Growth
from esper.policy.schedule import Schedule
from esper.safety.options import Safety
from esper.strategy.viability import Viability
from tests.unit.scripted import (
    EPOCHS,
    adapt,
    go,
    losses,
    make_grower,
    make_model,
    same_weights,
    script,
    timeless,
    train,
    verdict,
)


def test_by_default_a_model_grows_and_every_seed_is_closed_at_the_end() -> None:
    run = go(policy=Schedule(fractions=(0.1, 0.2)))
    stages = {seed.stage for seed in run.grower.host.seeds()}
    assert not stages & LIVE
    moves = run.told.of(EventKind.LIFECYCLE)
    germinated = [move for move in moves if move.to_stage is SeedStage.GERMINATED]
    outcomes = run.grower.settler.outcomes
    assert len(germinated) == len(outcomes) == 2 * 3
    assert {slot.spec.name for slot in run.reports[-1].observation.slots} == {"0", "3"}
    assert [report.metrics.epoch for report in run.reports] == list(range(1, EPOCHS + 1))
    assert run.reports[-1].metrics.global_step == 4 * EPOCHS


def test_a_seed_lives_as_the_lifecycle_says_and_its_end_is_judged_once() -> None:
    run = go(policy=script(e2=[adapt("0", 1)], e8=[verdict(DecisionKind.CULL, "0", 0)]))
    assert run.stages("0", 0) == [
        "GERMINATED", "TRAINING", "BLENDING", "SHADOWING", "PROBATIONARY",
        "CULLED", "EMBARGOED", "RESETTING", "DORMANT",
    ]  # fmt: skip
    (judged,) = run.told.of(EventKind.REWARD)
    assert (judged.outcome.germinated_epoch, judged.outcome.settled_epoch) == (2, 8)
    assert [point.epochs_since for point in judged.outcome.gains] == [4, 6]
    assert -1 <= judged.reward.total <= 1
    assert len(run.grower.policy.learned) == 1
    kinds = [event.kind for event in run.told.events if event.epoch == 8]
    order = [EventKind.DECISION, EventKind.PLAN, EventKind.REWARD, EventKind.LEDGER]
    assert [kind for kind in kinds if kind in order] == order
    assert EventKind.POLICY_UPDATE in kinds


def test_what_happens_is_a_function_of_the_seed() -> None:
    def events(rng_seed: int) -> list[Any]:
        options = {"policy": Schedule(fractions=(0.1, 0.2)), "strategy": "thompson"}
        run = go(rng_seed=rng_seed, **options)
        return [(e.kind, e.epoch, timeless(asdict(e.body))) for e in run.told.events]

    first = events(3)
    assert first == events(3)
    assert len(first) > 30
    assert first != events(4)


@pytest.mark.parametrize("method", METHODS)
def test_credit_is_by_the_chosen_method_and_that_is_said(method: str) -> None:
    run = go(policy=script(e2=[adapt("0", 1)]), attribution=Attribution(method=method))
    measured = run.told.of(EventKind.PERFORMANCE)
    assert {found.method for found in measured} == {method}
    assert [found.age for found in measured] == ([4, 6] if method == "twin" else [4, 6, 9])
    first = measured[0]
    assert (first.gain == pytest.approx(first.ablation, rel=1e-6)) is (method != "twin")
    if method != "twin":
        pooled = sum(found.ablation for found in measured) / len(measured)
        assert measured[-1].gain == pytest.approx(pooled, rel=1e-6), "the mean over the looks"


def test_only_a_twin_needs_a_function_that_trains_and_says_so() -> None:
    policy = script(e2=[adapt("0", 1)])
    alone = go(policy=policy, with_train=False)
    assert {found.method for found in alone.told.of(EventKind.PERFORMANCE)} == {"muting"}
    words = r"attribution\.method=twin needs step\(\.\.\., train=\.\.\.\) at each epoch"
    with pytest.raises(ValueError, match=words):
        go(policy=policy, with_train=False, attribution=Attribution(method="twin"))


def test_hits_need_not_be_known() -> None:
    run = go(policy=script(e2=[adapt("0", 1)]), evaluate=losses)
    assert {report.metrics.val_accuracy for report in run.reports} == {None}
    first = run.told.of(EventKind.PERFORMANCE)[0]
    assert first.composite == pytest.approx(0.5 + first.gain / 0.2, abs=0.01), "by its loss alone"
    (outcome,) = run.grower.settler.outcomes
    assert outcome.accuracy_gain is None
    assert outcome.gain is not None
    assert run.reports[-1].metrics.val_loss > 0


def test_an_evaluation_that_gives_no_loss_a_sample_is_refused_and_can_be_mended() -> None:
    grower, _ = make_grower()
    train(grower.host.model, grower.host.optimizer)
    with pytest.raises(ValueError, match="one loss per sample"):
        grower.step(lambda model: losses(model).mean())
    assert (grower.epoch, grower.host.steps_in_epoch) == (0, 4)
    assert grower.step(losses).metrics.epoch == 1
    assert grower.host.steps_per_epoch == 4


def test_a_budget_has_an_end() -> None:
    run = go(policy="never")
    with pytest.raises(ValueError, match="the budget of 14 epochs is over"):
        run.grower.step(losses)
    with pytest.raises(ValueError, match="epochs must be a whole number >= 1, or 'auto', got 0"):
        make_grower(epochs=0)


def test_what_is_open_an_epoch_before_the_end_is_culled_and_nothing_later() -> None:
    run = go(policy=script(e6=[adapt("0", 1)], e7=[adapt("3", 1)]), epochs=12, steps=12)
    # The first is old enough for a last look a quarter before the end, or soon after.
    assert run.stages("0", 0)[-2:] == ["CULLED", "EMBARGOED"]
    outcomes = run.grower.settler.outcomes
    assert [(o.germinated_epoch, o.settled_epoch) for o in outcomes] == [(6, 10), (7, 11)]
    assert {o.reason for o in outcomes} == {
        "no verdict at the last look, at age 4",
        "no verdict an epoch before the end",
    }
    assert not [event for event in run.told.events if event.epoch == 12]
    assert not any("esper_kernels" in key for key in run.model.state_dict())
    assert len(run.grower.host.optimizer.param_groups) == 1


def test_a_seed_that_nobody_judges_is_culled_at_its_last_look() -> None:
    run = go(policy=script(e2=[adapt("0", 1)]))
    (outcome,) = run.grower.settler.outcomes
    # TRAINING 3, BLENDING 4, SHADOWING 5 and 6, PROBATIONARY 7 to 11.
    assert outcome.settled_epoch == 11
    assert outcome.reason == "no verdict at the last look, at age 9"


def test_seeds_live_in_several_slots_and_several_in_one() -> None:
    run = go(
        policy=script(e2=[adapt("0", 2), adapt("3", 2)]),
        orchestrator="diversify",
        viability=Viability(max_concurrent_seeds=3),
        steps=6,
    )
    live = [(seed.slot, seed.seed) for seed in run.reports[-1].observation.live_seeds]
    assert len(live) == 4
    assert {slot for slot, _ in live} == {"0", "3"}
    assert len(run.grower.host.optimizer.param_groups) == 5
    assert len(run.grower.trials.open) == 2
    assert {(f.slot, f.seed) for f in run.told.of(EventKind.PERFORMANCE)} == set(live)
    by_slot: dict[str, set[str]] = {}
    for seed in run.reports[-1].observation.live_seeds:
        by_slot.setdefault(seed.slot, set()).add(seed.bound)
    assert all(len(names) == 2 for names in by_slot.values())


@pytest.mark.parametrize(("limit", "grows"), [(0.2, False), (0.4, True)])
def test_a_policy_of_ones_own_is_bound_by_the_uncertainty_that_it_states(
    limit: float, grows: bool
) -> None:
    unsure = replace(adapt("0", 1), uncertainty=0.3)
    done = go(policy=script(e2=[unsure]), safety=Safety(max_uncertainty=limit, max_cost=9.0))
    refused = [refusal.rule for refusal in done.told.of(EventKind.SAFETY)]
    assert refused == ([] if grows else ["uncertainty"])
    assert bool(done.stages("0", 0)) is grows


def test_growing_something_that_does_nothing_is_not_felt_at_all() -> None:
    idle = {"blueprint": ("noop",)}
    grown = go(policy=script(e2=[adapt("0", 1)], e3=[adapt("3", 1)]), **idle)
    never = go(policy="never")
    assert len(grown.grower.settler.outcomes) == 2
    assert same_weights(grown.model, never.model)
    assert [r.metrics.val_loss for r in grown.reports] == [
        r.metrics.val_loss for r in never.reports
    ]
    assert {outcome.gain for outcome in grown.grower.settler.outcomes} == {0.0}


@pytest.mark.parametrize("cull", [4, 8])
def test_a_culled_seed_has_never_been_where_the_run_goes_on_from_the_twin(cull: int) -> None:
    table = {"e2": [adapt("0", 1)], f"e{cull}": [verdict(DecisionKind.CULL, "0", 0)]}
    by_twin = {"attribution": Attribution(method="twin")}
    grown = go(policy=script(**table), growth=Growth(on_cull="twin"), **by_twin)
    assert same_weights(grown.model, go(policy="never").model)
    removed = go(policy=script(**table), **by_twin)
    assert not same_weights(removed.model, grown.model)


def test_a_frozen_part_of_the_host_stays_frozen() -> None:
    model = make_model()
    model[0].requires_grad_(False)
    before = {key: value.clone() for key, value in model[0].state_dict().items()}  # type: ignore[index]
    # In the last epoch, BLENDING, no step leaves the kernel out.
    run = go(model=model, policy=script(e2=[adapt("0", 1)]), steps=4, optimizer=SGD)
    assert all(torch.equal(run.model.state_dict()[f"0.{k}"], v) for k, v in before.items())
    assert run.stages("0", 0)[-1] == "SHADOWING"
    bank = run.model.get_submodule("0.esper_kernels.kernels.0")
    assert any(float(p.grad.abs().sum()) > 0 for p in bank.parameters() if p.grad is not None)
