"""Kernels that fail in the middle of a run: the run continues and reports them."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from esper.attribution.options import Attribution
from esper.blueprint import catalogue
from esper.blueprint.base import Blueprint, sites
from esper.checkpoint.tree import join, split
from esper.contracts.event import EventKind, Recovery
from esper.contracts.slot import Placement, SlotKind
from esper.grower.grower import Grower
from esper.growth.options import Growth
from esper.kernels.options import RecoveryOptions
from esper.policy.never import Never
from esper.policy.schedule import Schedule
from esper.run.summary import summarise
from esper.training.epoch import Epoch
from esper.training.options import Training
from tests.unit.growth.faulty import Trouble, offered
from tests.unit.scripted import (
    EPOCHS,
    TRAIN,
    Told,
    adapt,
    losses_and_hits,
    make_grower,
    same_weights,
    script,
    timeless,
    train,
)

Learn = Callable[[nn.Module, Optimizer], Any]


@pytest.fixture
def trouble() -> Iterator[Trouble]:
    with offered("bad") as found:
        yield found["bad"]


def by_epoch(model: nn.Module, optimizer: Optimizer) -> None:
    """Train an epoch with Esper's own loop."""
    batches = zip(TRAIN[0].split(12), TRAIN[1].split(12), strict=True)
    Epoch(Training(lr=0.02, schedule="constant"), 1, EPOCHS, 4).train(model, optimizer, batches)


def live(
    trouble: Trouble,
    error: Exception,
    *,
    where: str = "forward",
    learn: Learn = train,
    **options: Any,
) -> tuple[Any, Told]:
    """Run with a seed that germinates in epoch 2 and whose kernel fails from then on."""
    wanted = {"policy": script(e2=[adapt("0", 1)]), "blueprint": ("bad",), **options}
    grower, told = make_grower(**wanted)
    torch.manual_seed(7)
    for epoch in range(1, EPOCHS + 1):
        learn(grower.host.model, grower.host.optimizer)
        grower.step(losses_and_hits, learn)
        if epoch == 2:
            setattr(trouble, where, error)
    return grower, told


def without_growth(learn: Learn = train) -> nn.Module:
    grower, _ = make_grower(policy=Never())
    torch.manual_seed(7)
    for _ in range(EPOCHS):
        learn(grower.host.model, grower.host.optimizer)
        grower.step(losses_and_hits, learn)
    return grower.host.model


def strategies(told: Told) -> list[tuple[str, int, bool]]:
    return [(r.strategy, r.count, r.recovered) for r in told.of(EventKind.RECOVERY)]


def test_a_kernel_that_never_worked_was_never_felt(trouble: Trouble) -> None:
    grower, told = live(trouble, ValueError("a user's mistake"))
    assert same_weights(grower.host.model, without_growth())
    assert strategies(told) == [("fallback", 3, False), ("circuit_breaker", 1, False)]
    (outcome,) = grower.settler.outcomes
    assert (outcome.errors, outcome.recoveries, outcome.fossilized) == (3, 0, False)
    assert "failures 3 (its kernel rests after them)" in outcome.reason


@pytest.mark.parametrize("error", [RuntimeError("mistake"), torch.OutOfMemoryError("full")])
def test_esper_takes_the_steps_that_a_backward_pass_fails(
    trouble: Trouble, error: Exception
) -> None:
    grower, told = live(trouble, error, where="backward", learn=by_epoch)
    assert same_weights(grower.host.model, without_growth(by_epoch))
    assert strategies(told) == [("degrade", 1, True)]
    (recovery,) = told.of(EventKind.RECOVERY)
    assert (recovery.slot, recovery.seed, recovery.blueprint) == ("0", 0, "bad")
    assert recovery.error == type(error).__name__
    # Left out for its one epoch of training, it has no gradient to show.
    (outcome,) = grower.settler.outcomes
    assert (outcome.errors, outcome.recoveries) == (1, 1)
    assert "gradient not measured" in outcome.reason


def test_quarantine_culls_bars_and_is_in_the_summary(trouble: Trouble) -> None:
    again = script(e2=[adapt("0", 1)], e8=[adapt("0", 1)])
    options = {"recovery": RecoveryOptions(quarantine_after=1), "policy": again}
    grower, told = live(trouble, ValueError("mistake"), **options)
    assert strategies(told)[-1] == ("quarantine", 1, False)
    (outcome,) = grower.settler.outcomes
    assert (outcome.settled_epoch, outcome.reason) == (3, "blueprint 'bad' is in quarantine")
    assert told.of(EventKind.PLAN)[-1].changes == ()
    assert told.of(EventKind.PLAN)[-1].reasoning.endswith("every blueprint on offer is barred")
    found = summarise(grower, [line_of_an_epoch()], {"read_out_epoch": 1}, num_samples=1)
    assert found["recoveries"] == {}
    assert found["failures_not_recovered"] == {
        "fallback": 3,
        "circuit_breaker": 1,
        "quarantine": 1,
    }
    assert found["quarantined"] == ["bad"]


def line_of_an_epoch() -> dict[str, Any]:
    times = (
        "train_ms",
        "evaluation_ms",
        "attribution_ms",
        "probe_ms",
        "checkpoint_ms",
        "control_ms",
    )
    numbers = ("train_loss", "val_loss", "val_accuracy", "flops")
    return dict.fromkeys((*times, *numbers), 1.0)


def test_a_blueprint_that_cannot_be_built_is_tried_three_times() -> None:
    def build(*_: Any) -> nn.Module:
        raise ZeroDivisionError("a user's mistake")

    dense = sites([SlotKind.DENSE], Placement)
    catalogue.register(Blueprint(name="broken", fits_in=dense, risk=0.5, build=build))
    every = script(**{f"e{epoch}": [adapt("0", 1)] for epoch in range(2, 8)})
    grower, told = make_grower(policy=every, blueprint=("broken", "mlp"), num_seeds=1)
    try:
        for _ in range(7):
            train(grower.host.model, grower.host.optimizer)
            grower.step(losses_and_hits, train)
    finally:
        del catalogue._added["broken"]
    failed = ("degrade", 1, False)
    assert strategies(told) == [failed, failed, failed, ("quarantine", 1, False)]
    # Its seed was bound to the next blueprint then.
    born = [built.blueprint for built in told.of(EventKind.KERNEL) if built.error is None]
    assert born == ["mlp"]


def test_a_kernel_that_fails_when_it_is_ranked_is_not_offered(trouble: Trouble) -> None:
    def loss(model: nn.Module) -> Tensor:
        return functional.cross_entropy(model(TRAIN[0]), TRAIN[1])

    # It is well when its cost is measured, and as a probe in train and in eval mode.
    trouble.forward, trouble.calls = ValueError("mistake"), range(4, 9999)
    options = {"blueprint": ("bad", "mlp"), "num_seeds": 2, "slots": ("0",)}
    grower, told = make_grower(policy=script(e2=[adapt("0", 1)]), **options)
    for _ in range(3):
        train(grower.host.model, grower.host.optimizer)
        grower.step(losses_and_hits, train, loss=loss)
    refused, born = told.of(EventKind.KERNEL)
    assert (refused.blueprint, born.blueprint, born.error) == ("bad", "mlp", None)
    assert refused.error == "blueprint 'bad' in slot '0' fails: ValueError: mistake"
    assert strategies(told) == [("degrade", 1, False)]


def test_what_fails_between_steps_is_told_when_it_is_asked_for(trouble: Trouble) -> None:
    # This method leaves no kernel out of training.
    options = {"blueprint": ("bad",), "attribution": Attribution(method="ablation")}
    grower, told = make_grower(policy=script(e2=[adapt("0", 1)]), **options)
    for _ in range(4):
        train(grower.host.model, grower.host.optimizer)
        grower.step(losses_and_hits, train)
    trouble.forward = ValueError("mistake")
    losses_and_hits(grower.host.model.train())
    grower.report_failures()
    grower.report_failures()
    assert told.of(EventKind.RECOVERY) == [
        Recovery(
            where="kernel",
            error="ValueError",
            strategy="fallback",
            recovered=True,
            message="kernel 'bad' of seed 0 in slot '0' failed 2 times: ValueError: mistake",
            slot="0",
            seed=0,
            blueprint="bad",
            count=2,
        )
    ]


FAILING = {3, 7, 8}
"""Epochs in which every kernel fails."""


def go_on(grower: Grower, trouble: Trouble, epochs: range) -> Iterator[Any]:
    """Train epochs; yield a copy of the state after each."""
    for epoch in epochs:
        trouble.forward = ValueError("mistake") if epoch in FAILING else None
        train(grower.host.model, grower.host.optimizer)
        trouble.heal()
        grower.step(losses_and_hits, train)
        plain, tensors = split(grower.state_dict())
        yield join(plain, tensors)


def told_after(told: Told, epoch: int) -> list[Any]:
    events = [e for e in told.events if e.epoch > epoch and e.kind is not EventKind.KERNEL]
    return [(e.kind, e.epoch, timeless(asdict(e.body))) for e in events]


def test_a_run_whose_kernels_fail_and_rest_is_taken_up_again_to_the_bit(trouble: Trouble) -> None:
    options: dict[str, Any] = {
        "policy": Schedule(fractions=(0.1, 0.4)),
        "blueprint": ("bad",),
        "growth": Growth(training_epochs=3),
        "attribution": Attribution(looks=(6, 8)),
        "recovery": RecoveryOptions(failures=4, rest_epochs=1, quarantine_after=99),
    }
    whole, told = make_grower(**options)
    torch.manual_seed(7)
    states = list(go_on(whole, trouble, range(1, EPOCHS + 1)))
    found = [(e.epoch, e.body.strategy) for e in told.events if e.kind is EventKind.RECOVERY]
    assert (3, "circuit_breaker") in found
    assert (5, "circuit_breaker") in found
    for epoch in (3, 4, 5, 8):
        other, told_again = make_grower(**options)
        other.load_state_dict(states[epoch - 1])
        for _ in go_on(other, trouble, range(epoch + 1, EPOCHS + 1)):
            pass
        assert same_weights(other.host.model, whole.host.model)
        assert told_after(told_again, epoch) == told_after(told, epoch)
        assert other.guard.state_dict() == whole.guard.state_dict()
