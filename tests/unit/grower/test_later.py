"""Kept kernels are looked at again, and what was learned from them is revised."""

import math
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch

from esper.attribution.kept import LaterLook
from esper.checkpoint.tree import join, split
from esper.contracts.decision import DecisionKind
from esper.contracts.event import EventKind
from esper.contracts.outcome import GainPoint
from esper.grower.grower import Grower
from esper.reward.gain import Gain
from esper.safety.options import Safety
from tests.unit.scripted import (
    Run,
    adapt,
    go,
    losses_and_hits,
    make_grower,
    script,
    timeless,
    train,
    verdict,
)

EPOCHS = 24
KEEP = verdict(DecisionKind.FOSSILIZE, "0", 0)
OPTIONS: dict[str, Any] = {
    "epochs": EPOCHS,
    "policy": script(e2=[adapt("0", 1)], e8=[KEEP], e12=[adapt("3", 1)]),
}


def steps(grower: Grower, num: int) -> None:
    for _ in range(num):
        train(grower.host.model, grower.host.optimizer)
        grower.step(losses_and_hits)


def silence(run: Grower) -> None:
    """Make the kept kernel of slot 0 add nothing."""
    bank: Any = run.host.slots["0"].module._modules["esper_kernels"]
    with torch.no_grad():
        for parameter in bank.kernels["0"].parameters():
            parameter.zero_()
    for name, mean in run.host.average.mean.items():
        if "esper_kernels.kernels.0" in name:
            mean.zero_()


@pytest.fixture(scope="module")
def run() -> Run:
    return go(steps=19, **OPTIONS)


def test_the_same_trial_is_judged_again_2_5_and_10_epochs_after_keeping(run: Run) -> None:
    told = [e for e in run.told.events if e.kind is EventKind.REWARD]
    own = [e for e in told if e.body.outcome.slot == "0"]
    assert [e.epoch for e in own] == [8, 10, 13, 18]
    assert [e.body.epochs_after_keeping for e in own] == [None, 2, 5, 10]
    last = own[-1].body.outcome
    windows = [point.window for point in last.gains]
    assert windows == ["immediate", "short", "medium", "medium", "long"]
    assert [point.epochs_since for point in last.gains] == [4, 6, 8, 11, 16]
    assert (last.gain, last.settled_epoch) == (own[0].body.outcome.gain, 8)
    weights = (0.3, 0.4, 0.125, 0.125, 0.05)
    weighted = sum(w * point.gain for w, point in zip(weights, last.gains, strict=True))
    lasting = (weighted - last.asked_gain) / last.shown
    assert own[-1].body.reward.components["accuracy"] == pytest.approx(lasting / 0.05)


def test_ledger_and_outcomes_hold_the_latest_and_nobody_learns_twice(run: Run) -> None:
    settler = run.grower.settler
    told = [e for e in run.told.of(EventKind.REWARD) if e.outcome.slot == "0"]
    rewards = [each.reward.total for each in told]
    assert len(set(rewards)) > 1
    (entry,) = [e for e in settler.ledger.entries_of_run() if e.slot == "0"]
    assert (entry.reward, entry.weight) == (rewards[-1], told[-1].reward.weight)
    assert entry in settler.store.load()
    assert settler.tally.fossilized == 1
    (outcome,) = [each for each in settler.outcomes if each.slot == "0"]
    assert outcome == told[-1].outcome
    updates = [u for u in run.told.of(EventKind.LEDGER) if u.slot == "0"]
    assert [(update.trials, update.reward) for update in updates] == [(1, r) for r in rewards]
    learned = [outcome for outcome, _ in run.grower.policy.learned]
    assert [each.slot for each in learned].count("0") == 1


def test_a_kernel_that_no_longer_helps_loses_its_reward() -> None:
    reward = Gain(scale=1.0)
    grower, told = make_grower(**OPTIONS, reward=reward)
    torch.manual_seed(7)
    steps(grower, 9)
    train(grower.host.model, grower.host.optimizer)
    silence(grower)
    grower.step(losses_and_hits)
    first, second = told.of(EventKind.REWARD)
    assert first.reward.total > 0
    assert second.outcome.gains[-1] == GainPoint(epochs_since=8, gain=0.0, window="medium")
    asked = second.outcome.asked_gain
    assert second.reward.total == pytest.approx(math.tanh(-asked)), "no gain, but its price"
    assert "later +0.0%" in second.reward.explanation
    entries = grower.ledger.entries_of_run()
    assert [entry.reward for entry in entries] == [second.reward.total]
    spec = grower.host.slots["0"].spec
    assert grower.ledger.summary(spec, "mlp").mean == second.reward.total


def test_no_look_is_taken_beyond_the_cost_of_the_run() -> None:
    grower, told = make_grower(**OPTIONS)
    torch.manual_seed(7)
    steps(grower, 9)
    assert grower.host.looks_again
    before = grower.costs.spent.flops
    limit = grower.costs.plain_flops
    room = before + limit * (1 - 9 / EPOCHS)
    grower.costs.max_cost = room / limit
    assert not grower.costs.affords_later_looks(1, 9)
    # One look scores 40 samples by the settled network.
    grower.costs.max_cost = (room + 40 * grower.host.settled_flops * 1.001) / limit
    assert grower.costs.affords_later_looks(1, 9)
    assert not grower.costs.affords_later_looks(2, 9)
    frugal = go(steps=12, **{**OPTIONS, "safety": Safety(max_cost=1.0)})
    assert len(told.of(EventKind.REWARD)) == 1
    assert not any(each.epochs_after_keeping for each in frugal.told.of(EventKind.REWARD))


def test_a_look_is_part_of_the_cost_of_its_epoch() -> None:
    grower, _ = make_grower(**OPTIONS)
    torch.manual_seed(7)
    steps(grower, 9)
    host, before = grower.host, grower.costs.spent.flops
    own = host.seed("0", 0).activation.flops
    steps(grower, 1)
    training = 3 * host.settled_flops * 48
    look = 40 * (host.settled_flops - own)
    assert grower.costs.spent.flops - before == pytest.approx(training + look)


def test_a_resumed_run_revises_the_same_bit_for_bit() -> None:
    whole, told = make_grower(**OPTIONS)
    torch.manual_seed(7)
    saved = {}
    for epoch in range(19):
        if epoch in (8, 9, 10, 12, 17):
            tree, tensors = split(whole.state_dict())
            saved[epoch] = tree, {name: each.clone() for name, each in tensors.items()}
        steps(whole, 1)
    for epoch, state in saved.items():
        resumed, again = make_grower(**OPTIONS)
        resumed.load_state_dict(join(*state))
        steps(resumed, 19 - epoch)
        mine, theirs = whole.host.model.state_dict(), resumed.host.model.state_dict()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine), epoch
        assert events(told, epoch) == events(again, epoch)
        mine, theirs = whole.settler.state_dict(), resumed.settler.state_dict()
        assert timeless(mine) == timeless(theirs)
        assert whole.costs.spent == resumed.costs.spent


def events(told: Any, after: int) -> list[Any]:
    return [
        (e.kind, e.epoch, timeless(asdict(e.body)))
        for e in told.events
        if e.epoch > after and e.kind is not EventKind.KERNEL
    ]


def test_an_outcome_that_is_forgotten_is_not_revised(run: Run) -> None:
    point = GainPoint(epochs_since=16, gain=0.0, window="long")
    settler, spec = run.grower.settler, run.grower.host.slots["0"].spec
    before = settler.ledger.state_dict()
    unknown = LaterLook("0", 0, 7, 10, point)
    assert settler.revise(unknown, spec) == []
    assert settler.revise(replace(unknown, seed=3), spec) == []
    assert settler.ledger.state_dict() == before
