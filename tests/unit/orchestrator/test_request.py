"""Scores, and the plain verdict."""

from typing import Any

import pytest

from esper.contracts.decision import Decision, DecisionKind
from esper.contracts.plan import Action, SeedChange
from esper.contracts.slot import SeedState
from esper.contracts.stage import SeedStage
from esper.orchestrator.diversify import Diversify
from esper.orchestrator.request import PlanRequest, measured_score


@pytest.mark.parametrize(
    ("gain", "ablation", "score"),
    [
        (None, None, None),
        (0.0, None, 0.5),
        (-0.04, None, 0.3),
        (None, 0.02, 0.6),
        (0.02, 0.05, 0.6),
        (0.05, -0.06, 0.2),
        (0.5, 0.5, 1.0),
        (-0.5, None, 0.0),
    ],
)
def test_a_seed_is_scored_by_the_lower_of_its_gain_and_its_contribution(
    gain: float | None, ablation: float | None, score: float | None
) -> None:
    seed = SeedState(
        slot="b", seed=0, stage=SeedStage.SHADOWING, bound="mlp", gain=gain, ablation=ablation
    )
    assert measured_score(seed) == (None if score is None else pytest.approx(score))


def test_the_composite_score_counts_where_there_is_one(
    observe: Any, decide: Any, known: Any
) -> None:
    observation = observe("SHADOWING", seeds={0: {"gain": 0.02}})
    seed = observation.slots[0].seeds[0]
    for composites, score in (({0: 0.1}, 0.1), ({0: 0.8}, 0.8), ({0: 0.0}, 0.0), ({}, 0.6)):
        request = PlanRequest(
            kind="replace",
            decision=decide(),
            slot=observation.slots[0],
            may_grow=True,
            knowledge=known(composites),
        )
        assert request.score(seed) == pytest.approx(score)


def test_a_verdict_is_one_plain_change_of_the_named_seed(
    observe: Any, decide: Any, known: Any
) -> None:
    observation = observe("DORMANT", "PROBATIONARY")
    for kind, action in (
        (DecisionKind.FOSSILIZE, Action.FOSSILIZE),
        (DecisionKind.CULL, Action.CULL),
    ):
        plan = Diversify().plan(decide(None, kind=kind, seed=1, risk=0.4), observation, known())
        assert plan.kind == "verdict"
        assert plan.changes == (SeedChange(action=action, seed=1),)
        assert plan.risk == 0.4
        assert "it is time" in plan.reasoning


@pytest.mark.parametrize(
    ("kind", "stage"),
    [
        ("fossilize", "SHADOWING"),
        ("fossilize", "FOSSILIZED"),
        ("cull", "FOSSILIZED"),
        ("cull", "DORMANT"),
        ("cull", "EMBARGOED"),
    ],
)
def test_a_verdict_that_the_lifecycle_does_not_hold_is_nothing_to_do(
    observe: Any, decide: Any, known: Any, kind: str, stage: str
) -> None:
    decision = decide(None, kind=DecisionKind(kind), seed=0)
    plan = Diversify().plan(decision, observe(stage), known())
    assert not plan.changes
    assert stage in plan.reasoning


def test_what_cannot_be_planned_is_refused(observe: Any, decide: Any, known: Any) -> None:
    observation = observe("DORMANT")
    with pytest.raises(ValueError, match="slot 'block' has no seed 7 to cull"):
        Diversify().plan(decide(None, kind=DecisionKind.CULL, seed=7), observation, known())
    with pytest.raises(ValueError, match="slot 'block' has no seed None"):
        Diversify().plan(decide(None, kind=DecisionKind.CULL), observation, known())
    with pytest.raises(ValueError, match="nothing to plan"):
        Diversify().plan(Decision(kind=DecisionKind.WAIT, reason="calm"), observation, known())
    elsewhere = Decision(kind=DecisionKind.ADAPT, reason="now", slot="elsewhere")
    with pytest.raises(KeyError):
        Diversify().plan(elsewhere, observation, known())
