"""The kinds of change that the heuristic policy asks for, and their risk."""

from typing import Any

import pytest

from esper.contracts.decision import SLOT_CHANGES, Adaptation, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.outcome import Reward
from esper.contracts.slot import Prospect
from esper.contracts.stage import SeedStage
from esper.policy.heuristic import Heuristic
from tests.unit.policy.builders import (
    make_look,
    make_observation,
    make_outcome,
    make_seed,
    make_slot,
)

ADAPT, CULL = DecisionKind.ADAPT, DecisionKind.CULL


def test_the_risk_of_growth_is_that_of_the_least_risky_blueprint_on_offer() -> None:
    slot = make_slot(seeds=(make_seed(risk=0.7), make_seed(bound="mlp", risk=0.4)))
    policy = Heuristic(trigger="fractions").build(0)
    assert policy.decide(make_observation(slots=(slot,)))[0].risk == 0.4
    for _ in range(2):
        policy.learn(make_outcome("mlp"), Reward(total=0.0))
    barred = policy.decide(make_observation(slots=(slot,)))[0]
    assert (barred.barred, barred.risk) == (("mlp",), 0.7)


def test_the_first_event_of_a_slot_is_a_layer_and_later_ones_are_neurons() -> None:
    seen = make_observation(slots=(make_slot(seeds=(make_seed(),) * 4),))
    policy = Heuristic(trigger="fractions").build(0)
    first = policy.decide(seen)[0]
    policy.learn(make_outcome(slot="another"), Reward(total=0.0))
    still = policy.decide(seen)[0]
    policy.learn(make_outcome(), Reward(total=0.0))
    later = policy.decide(seen)[0]
    assert [d.adaptation for d in (first, still, later)] == [
        Adaptation.ADD_LAYER,
        Adaptation.ADD_LAYER,
        Adaptation.ADD_NEURONS,
    ]
    assert first.num_seeds is None, "the orchestrator knows how many"


@pytest.mark.parametrize("word", list(SLOT_CHANGES))
def test_one_word_makes_every_event_the_same(word: Adaptation) -> None:
    policy = Heuristic(trigger="fractions", adaptation=word, seeds_per_adaptation=2).build(0)
    seen = make_observation(slots=(make_slot(seeds=(make_seed(),) * 4),))
    asked = policy.decide(seen)[0]
    added = word if word is Adaptation.ADD_LAYER else Adaptation.ADD_NEURONS
    assert (asked.adaptation, asked.num_seeds) == (added, 2)


def undecided(**look: Any) -> Observation:
    """Return a slot with two seeds whose gain is above 0 and below the bar."""
    seed = make_seed(SeedStage.PROBATIONARY, gain=0.01, gain_error=0.01, look=make_look(**look))
    return make_observation(slots=(make_slot(seeds=(seed, seed)),), may_grow=True)


@pytest.mark.parametrize(("word", "is_removed"), [("auto", True), ("add_neurons", False)])
def test_removals_happen_unless_one_word_forbids_them(word: str, is_removed: bool) -> None:
    decisions = Heuristic(adaptation=word).build(0).decide(undecided())
    words = [decision.adaptation for decision in decisions]
    assert words == ([Adaptation.REMOVE_NEURONS] if is_removed else [None, None])


@pytest.mark.parametrize(("word", "kind"), [("auto", ADAPT), ("remove_neurons", CULL)])
def test_replacements_happen_unless_one_word_forbids_them(word: str, kind: DecisionKind) -> None:
    seed = make_seed(SeedStage.PROBATIONARY, gain=-0.1, look=make_look())
    slot = make_slot(seeds=(seed,), prospects=(Prospect(blueprint="mlp", expected_gain=0.1),))
    (decision,) = Heuristic(adaptation=word).build(0).decide(make_observation(slots=(slot,)))
    assert (decision.kind, decision.seed) == (kind, 0)
