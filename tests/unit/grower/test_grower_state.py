"""A grower in a user's loop, restored after any step, continues bit for bit."""

import random
from dataclasses import asdict
from typing import Any

import pytest
import torch

from esper.attribution.options import Attribution
from esper.checkpoint.tree import join, split
from esper.contracts.errors import CheckpointError
from esper.contracts.event import EventKind
from esper.grower.grower import Grower
from esper.growth.options import Growth
from esper.policy.random import Random
from esper.policy.schedule import Schedule
from tests.unit.scripted import (
    EPOCHS,
    Told,
    losses_and_hits,
    make_grower,
    timeless,
    train,
)

OPTIONS: dict[str, dict[str, Any]] = {
    "schedule": {"policy": Schedule(fractions=(0.1, 0.2)), "strategy": "thompson"},
    "random": {"policy": Random(events=3), "strategy": "epsilon_greedy", "rng_seed": 2},
    "heuristic": {"policy": "heuristic", "strategy": "performance_weighted"},
    "twin": {
        "policy": Schedule(fractions=(0.1, 0.3)),
        "growth": Growth(on_cull="twin"),
        "attribution": Attribution(method="twin"),
    },
}


def steps(grower: Grower, num: int) -> None:
    for _ in range(num):
        train(grower.host.model, grower.host.optimizer)
        grower.step(losses_and_hits, train)


def told_of(told: Told, after: int) -> list[Any]:
    return [
        (e.kind, e.epoch, timeless(asdict(e.body)))
        for e in told.events
        if e.epoch > after and e.kind is not EventKind.KERNEL
    ]


@pytest.mark.parametrize("name", OPTIONS)
def test_a_run_goes_on_bit_for_bit_after_any_step(name: str) -> None:
    whole, told = make_grower(**OPTIONS[name])
    torch.manual_seed(7)
    random.seed(7)
    saved = []
    for _ in range(EPOCHS):
        saved.append(split(whole.state_dict()))
        saved[-1] = (saved[-1][0], {k: v.clone() for k, v in saved[-1][1].items()})
        steps(whole, 1)
    assert any(e.kind is EventKind.LIFECYCLE for e in told.events)
    for epoch in (1, 2, 4, 7, 9, 12):
        resumed, told_again = make_grower(**OPTIONS[name])
        resumed.load_state_dict(join(*saved[epoch]))
        steps(resumed, EPOCHS - epoch)
        mine, theirs = whole.host.model.state_dict(), resumed.host.model.state_dict()
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine), epoch
        assert told_of(told, epoch) == told_of(told_again, epoch)
        assert whole.settler.tally == resumed.settler.tally
        assert whole.num_decisions == resumed.num_decisions


def test_a_state_is_loaded_into_a_fresh_grower_of_the_same_model_only() -> None:
    grower, _ = make_grower(policy="never")
    state = grower.state_dict()
    steps(grower, 1)
    with pytest.raises(ValueError, match="into a fresh grower, this one is at 1"):
        grower.load_state_dict(state)
    other, _ = make_grower(torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Linear(5, 3)))
    with pytest.raises(CheckpointError, match="the checkpoint has the slots"):
        other.load_state_dict(state)
