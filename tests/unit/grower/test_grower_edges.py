"""The grower with odd, broken or extreme inputs."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import LambdaLR

from esper.attribution.options import Attribution
from esper.blueprint import catalogue
from esper.blueprint.base import Blueprint, sites
from esper.contracts.decision import DecisionKind
from esper.contracts.errors import ConfigError
from esper.contracts.event import EventKind
from esper.contracts.metrics import TrainReport
from esper.contracts.slot import Placement, SlotKind
from esper.contracts.stage import SeedStage
from esper.grower.grower import Grower
from esper.grower.options import GrowerOptions
from esper.growth.coin import Coin
from esper.policy.schedule import Schedule
from esper.safety.options import GovernorOptions
from tests.unit.scripted import (
    EPOCHS,
    TRAIN,
    VAL,
    adapt,
    go,
    losses,
    losses_and_hits,
    make_grower,
    make_model,
    same_weights,
    script,
    train,
    verdict,
)


def rates(*, named: bool) -> list[float]:
    """Return the host's learning rates under a scheduler that accepts no further groups."""
    model = make_model()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = LambdaLR(optimizer, lambda epoch: 0.8**epoch)
    options = {"schedulers": [scheduler]} if named else {}
    example, policy = TRAIN[0][:4], script(e1=[adapt("0", 1)])
    grower = Grower(model, optimizer, example_input=example, epochs=9, policy=policy, **options)
    found = []
    for _ in range(4):
        train(model, optimizer)
        found.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
        grower.step(losses, train)
    return found


def test_a_scheduler_of_the_users_goes_on_when_it_is_named() -> None:
    assert rates(named=True) == pytest.approx([0.1, 0.08, 0.064, 0.0512])
    with pytest.raises(ConfigError, match=r"add schedulers=\[scheduler\]"):
        rates(named=False)


def test_a_decision_that_cannot_be_carried_out_is_told_and_changes_nothing() -> None:
    # Both are written for the same seed, of which the first leaves nothing to fossilize.
    wrong = [verdict(DecisionKind.CULL, "0", 0), verdict(DecisionKind.CULL, "0", 0)]
    run = go(policy=script(e2=[adapt("0", 1)], e5=wrong))
    refused = run.told.of(EventKind.SAFETY)
    assert len(refused) == 1
    assert refused[0].decision is wrong[1]
    assert len(run.grower.settler.outcomes) == 1


@pytest.fixture
def broken_blueprint() -> Iterator[str]:
    def build(*_: Any) -> nn.Module:
        raise ZeroDivisionError("a user's mistake")

    catalogue.register(
        Blueprint(
            name="broken",
            fits_in=sites([SlotKind.DENSE], Placement),
            risk=0.5,
            build=build,
        )
    )
    yield "broken"
    del catalogue._added["broken"]


def test_a_blueprint_that_cannot_be_built_does_not_end_the_run(broken_blueprint: str) -> None:
    run = go(policy=script(e2=[adapt("0", 1)]), blueprint=(broken_blueprint,), steps=4)
    attempts = run.told.of(EventKind.KERNEL)
    assert attempts
    assert all("ZeroDivisionError: a user's mistake" in attempt.error for attempt in attempts)
    assert run.grower.host.num_parameters == sum(p.numel() for p in make_model().parameters())
    assert run.reports[-1].observation.live_seeds == ()


@pytest.mark.parametrize(
    ("since", "reason", "gain"),
    [(4, "loss not measured", None), (6, "<= 0 at age 4", -1.0)],
)
def test_a_loss_that_is_no_number_keeps_nothing_and_ends_nothing(
    since: int, reason: str, gain: float | None
) -> None:
    def lost(model: nn.Module) -> tuple[Tensor, Tensor]:
        found, hits = losses_and_hits(model)
        bank = model[0]._modules.get("esper_kernels")  # type: ignore[index]
        felt = bank is not None and set(bank.kernels) - bank.muted - bank.isolated
        return (found * math.nan if felt and epochs_trained >= since else found), hits

    unwatched = GovernorOptions(enabled=False)
    once = Schedule(fractions=(0.1,), seeds_per_adaptation=1)
    grower, _ = make_grower(policy=once, governor=unwatched, slots=("0",))
    epochs_trained = 0
    while epochs_trained < EPOCHS:
        epochs_trained += 1
        train(grower.host.model, grower.host.optimizer)
        report = grower.step(lost)
    (outcome,) = grower.settler.outcomes
    assert (outcome.germinated_epoch, outcome.settled_epoch) == (2, since)
    assert not outcome.fossilized
    assert reason in outcome.reason
    assert outcome.gain == gain
    assert math.isfinite(report.metrics.val_loss)


def test_kernels_are_ranked_at_birth_where_a_loss_is_given() -> None:
    def loss(model: nn.Module) -> Tensor:
        return functional.cross_entropy(model(TRAIN[0]), TRAIN[1])

    grower, told = make_grower(policy=script(e1=[adapt("0", 1)]), strategy="ucb")
    train(grower.host.model, grower.host.optimizer)
    grower.step(losses, train, loss=loss)
    (selection,) = told.of(EventKind.SELECTION)
    # The highest of four first-order scores, 1.5 of their steps above the middle.
    assert selection.reason.endswith(
        "0.84 (0 worst, 1 best), from 0 trials here and a prior worth 0.25"
    )
    assert selection.seed is not None


BARE = 2 * (4 * 6 + 6 * 6 + 6 * 3)
"""Forward FLOPs of `make_model` for one sample."""
TRAINED, SCORED = 48, 40
"""Samples of an epoch, four steps of 12, and of an evaluation."""


def test_the_cost_of_a_step_counts_muted_steps_and_further_evaluations() -> None:
    run = go(policy=script(e2=[adapt("0", 1)]), steps=6)
    grown = run.grower.host.flops
    kernel = grown - BARE
    assert run.grower.host.base_flops == BARE
    assert kernel > 0
    # The run's seed is 0, and the fifth epoch has the steps 16 to 19.
    muted = [sum(Coin(0, 0.5).mutes("0", 0, 1, s) for s in range(n, n + 4)) for n in (16, 20)]
    assert 0 < sum(muted) < 8
    assert [report.flops for report in run.reports] == [
        3 * BARE * TRAINED,
        3 * BARE * TRAINED,
        # TRAINING: an evaluation leaves an isolated kernel out.
        3 * grown * TRAINED,
        # BLENDING: its gate takes an evaluation with the kernel.
        3 * grown * TRAINED + grown * SCORED,
        # SHADOWING: some steps leave the kernel out.
        3 * (grown - kernel * muted[0] / 4) * TRAINED,
        # The look at age 4 compares the network without and with the kernel.
        3 * (grown - kernel * muted[1] / 4) * TRAINED + grown * SCORED,
    ]


def test_the_cost_of_a_step_counts_twins() -> None:
    by_twin = Attribution(method="twin")
    run = go(policy=script(e2=[adapt("0", 1)]), steps=6, attribution=by_twin)
    grown = run.grower.host.flops
    both = 3 * (grown + BARE) * TRAINED
    assert [report.flops for report in run.reports] == [
        3 * BARE * TRAINED,
        3 * BARE * TRAINED,
        both,
        both + grown * SCORED,
        # The twin is compared at the look and an epoch before.
        both + (grown + BARE) * SCORED,
        both + (grown + BARE) * SCORED,
    ]


def test_what_training_gave_is_passed_on() -> None:
    grower, _ = make_grower(policy="never")
    train(grower.host.model, grower.host.optimizer)
    report = grower.step(losses, trained=TrainReport(loss=0.5, accuracy=0.75, num_samples=48))
    assert (report.metrics.train_loss, report.metrics.train_accuracy) == (0.5, 0.75)
    assert report.flops == 3 * grower.host.base_flops * 48


def test_the_policy_sees_the_losses_of_an_epoch_over_its_flops() -> None:
    grower, _ = make_grower(policy="never")
    train(grower.host.model, grower.host.optimizer)
    trained = TrainReport(losses=(1.25, 0.75), num_samples=48)
    seen = grower.step(losses, trained=trained).observation
    flops = 3 * grower.host.base_flops * 48
    assert [(p.flops, p.loss) for p in seen.curve] == [(flops / 4, 1.25), (3 * flops / 4, 0.75)]
    assert (seen.curve_source, seen.part_losses) == ("training", ((1.25, 0.75),))


def test_a_loop_that_reports_no_training_is_seen_by_its_validation_losses() -> None:
    grower, _ = make_grower(policy="never")
    train(grower.host.model, grower.host.optimizer)
    report = grower.step(losses)
    (point,) = report.observation.curve
    assert report.flops == 3 * BARE * TRAINED
    assert (point.flops, point.loss) == (report.flops, report.metrics.val_loss)
    assert report.observation.curve_source == "validation"


def test_an_epoch_without_a_step_costs_nothing_and_ends_nothing() -> None:
    grower, _ = make_grower(policy="heuristic")
    reports = [grower.step(losses) for _ in range(9)]
    assert {report.flops for report in reports} == {0.0}
    assert not [seed for report in reports for seed in report.observation.live_seeds]


@pytest.mark.parametrize(("looks", "last"), [((4, 6, 9), 9), ((6,), 7)])
def test_seeds_germinate_while_a_look_and_an_epoch_after_it_fit(
    looks: tuple[int, ...], last: int
) -> None:
    every = {f"e{epoch}": [adapt("0", 1)] for epoch in (last, last + 1)}
    run = go(policy=script(**every), attribution=Attribution(looks=looks))
    may_grow = [report.observation.may_grow for report in run.reports]
    assert may_grow == [True] * last + [False] * (EPOCHS - last)
    (germinated,) = [
        event.epoch
        for event in run.told.events
        if event.kind is EventKind.LIFECYCLE and event.body.to_stage is SeedStage.GERMINATED
    ]
    assert germinated == last
    assert [refusal.rule for refusal in run.told.of(EventKind.SAFETY)] == ["growth_window"]


def test_dormant_growth_is_not_felt() -> None:
    model, bare = make_model(), make_model()
    optimizer = Adam(bare.parameters(), lr=0.02)
    run = go(model=model, policy="never", evaluate=lambda m: functional.cross_entropy(
        m(VAL[0]), VAL[1], reduction="none"))  # fmt: skip
    torch.manual_seed(7)
    for _ in range(EPOCHS):
        train(bare, optimizer)
    assert same_weights(run.model, bare)
    assert list(model.state_dict()) == list(bare.state_dict())


def test_the_store_is_let_go_of(tmp_path: Any) -> None:
    from esper.store.sqlite import SQLite

    store = SQLite(path=str(tmp_path / "store.db"))
    run = go(
        policy=script(e2=[adapt("0", 1)], e6=[verdict(DecisionKind.CULL, "0", 0)]), store=store
    )
    run.grower.close()
    again, _ = make_grower(store=store, run_id="another")
    assert [entry.run for entry in again.settler.snapshot] == ["test"]
    again.close()


def test_an_option_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"no option 'stratgy' \(did you mean: strategy\)"):
        make_grower(stratgy="ucb")
    message = r"no option 'max_cost' \(did you mean: safety=Safety\(max_cost=...\) of esper.safety"
    with pytest.raises(ConfigError, match=message):
        make_grower(max_cost=2.0)
    assert isinstance(make_grower()[0].options, GrowerOptions)


def test_a_grower_its_host_and_its_reports_print_what_they_are() -> None:
    run = go(policy=script(e2=[adapt("0", 1)]), steps=2)
    host = run.grower.host
    names, size = ", ".join(host.slots), f"parameters {host.num_parameters:,}"
    facts = f"slots {names}, kept none, live seeds 1, {size}"
    assert repr(host) == f"Host({facts})"
    assert repr(run.grower) == f"Grower(epoch 2/{EPOCHS}, {facts})"
    metrics = run.reports[1].metrics
    scores = f"epoch 2, loss {metrics.val_loss:.4g}, accuracy {metrics.val_accuracy:.4g}"
    assert repr(run.reports[1]) == f"StepReport({scores}, 0/0 -> GERMINATED, 0/0 -> TRAINING)"
    germinated, _ = run.reports[1].moves
    line = f"  + 0 seed 0 germinated ({germinated.blueprint}): {germinated.reason}"
    assert str(run.reports[1]) == f"{scores}\n{line}"
    assert str(run.reports[0]).startswith("epoch 1, loss ")
    assert repr(host.slots["0"]) == "Slot(0, seeds TRAINING, DORMANT, DORMANT, DORMANT)"
    run = go(policy=script(e2=[adapt("0", 1)], e6=[verdict(DecisionKind.FOSSILIZE, "0", 0)]))
    kernel = run.grower.host.seed("0", 0).activation.blueprint
    assert f", kept 0/0 {kernel}, live seeds 0, " in repr(run.grower)
