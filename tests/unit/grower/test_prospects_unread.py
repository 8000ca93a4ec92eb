"""Policies that do not read scores cost no backward pass, and decide the same."""

import math
from typing import Any

import pytest
from torch import Tensor, nn
from torch.nn import functional

from esper.contracts.event import EventKind
from esper.contracts.slot import Look
from esper.contracts.stage import SeedStage
from esper.growth.requests import growable_states
from esper.policy.never import Never
from esper.policy.random import Random
from esper.policy.schedule import Schedule
from tests.unit.grower.ranked import Asked, blocks, prospects_of
from tests.unit.growth.builders import grow
from tests.unit.scripted import TRAIN, Run, losses, make_grower, same_weights, train


def test_nothing_is_measured_for_a_policy_that_reads_no_scores() -> None:
    host, asked = blocks(3), Asked()
    grow(host, "0", 0, "affine")
    seed = host.seed("0", 0)
    seed.stage, life = SeedStage.PROBATIONARY, seed.activation
    life.gain, life.gain_error = -0.1, 0.01
    life.look = Look(epoch=1, age=4, is_last=False, bar=0.1)
    states = growable_states(host, 1)
    blind, seeing = prospects_of(host, ranks=False), prospects_of(host)
    assert blind.scored(states, 1, math.inf, asked) == states
    assert blind.replacing(states, 1, asked) == states
    assert asked.calls == []
    assert seeing.scored(states, 1, math.inf, asked) != states
    assert seeing.replacing(states, 1, asked) != states
    assert len(asked.calls) == 2


@pytest.mark.parametrize(
    "policy", [Random(events=1, grow_until=0.2), Schedule(fractions=(0.1,)), Never()]
)
def test_a_policy_that_reads_no_scores_decides_the_same_with_them(
    policy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []

    def counted(model: nn.Module) -> Tensor:
        passes.append(model)
        return functional.cross_entropy(model(TRAIN[0]), TRAIN[1])

    def run() -> tuple[Run, int]:
        passes.clear()
        grower, told = make_grower(policy=policy)
        reports = []
        for _ in range(8):
            train(grower.host.model, grower.host.optimizer)
            reports.append(grower.step(losses, loss=counted))
        return Run(grower, told, reports), len(passes)

    blind, few = run()
    monkeypatch.setattr(type(policy.build(0)), "reads_scores", True)
    seeing, many = run()
    assert few < many
    assert same_weights(blind.model, seeing.model)
    decisions = blind.told.of(EventKind.DECISION)
    assert decisions == seeing.told.of(EventKind.DECISION)
    grown = {move.slot for move in blind.told.of(EventKind.LIFECYCLE)}
    assert bool(grown) == (policy != Never())
    scores = [slot.score for report in blind.reports for slot in report.observation.slots]
    assert set(scores) == {None}
