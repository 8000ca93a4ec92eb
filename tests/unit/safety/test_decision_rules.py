"""Rules on decisions, each applied to single decisions."""

import math
from dataclasses import replace
from typing import Any

import pytest

from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.slot import SeedState, SlotState
from esper.contracts.stage import SeedStage
from esper.safety.options import Safety
from esper.safety.review import review
from tests.unit.policy.builders import make_observation, make_seed, make_slot

ADD, REMOVE = Adaptation.ADD_NEURONS, Adaptation.REMOVE_NEURONS


def adapt(**changes: Any) -> Decision:
    decision = Decision(kind=DecisionKind.ADAPT, slot="block", adaptation=ADD, reason="a test")
    return replace(decision, **changes)


def cull(seed: Any = 0, **changes: Any) -> Decision:
    decision = Decision(kind=DecisionKind.CULL, slot="block", seed=seed, reason="a test")
    return replace(decision, **changes)


def fossilize(seed: Any = 0, **changes: Any) -> Decision:
    return cull(seed, kind=DecisionKind.FOSSILIZE, **changes)


def with_seeds(*seeds: SeedState, **changes: Any) -> Observation:
    slot: SlotState = make_slot(seeds=seeds)
    return make_observation(slots=(slot, make_slot("other")), **changes)


def broken_rule(
    decision: Decision,
    observation: Observation | None = None,
) -> str | None:
    """Return the rule that refused the decision, None if it was accepted."""
    observation = observation or make_observation()
    accepted, refusals = review([decision], observation, Safety())
    assert len(accepted) + len(refusals) == 1
    assert not refusals or (refusals[0].decision == decision and refusals[0].reason)
    assert not refusals or refusals[0].plan is None
    return refusals[0].rule if refusals else None


def test_what_keeps_every_rule_passes() -> None:
    ripe = with_seeds(make_seed(SeedStage.PROBATIONARY), make_seed())
    waiting = Decision(kind=DecisionKind.WAIT, reason="a test")
    for decision in (waiting, adapt(), cull(), fossilize()):
        assert broken_rule(decision, ripe) is None


def test_waiting_needs_no_confidence() -> None:
    unsure = Decision(kind=DecisionKind.WAIT, reason="a test", learned=True, confidence=0.1)
    assert broken_rule(unsure) is None


@pytest.mark.parametrize(
    ("decision", "rule"),
    [
        (adapt(kind="adapt"), "known_kind"),
        (adapt(kind="explode"), "known_kind"),
        (adapt(reason=" "), "reason"),
        (adapt(confidence=math.nan), "numbers"),
        (adapt(confidence=1.01), "numbers"),
        (adapt(urgency=-0.01), "numbers"),
        (adapt(risk=math.inf), "numbers"),
        (adapt(risk=True), "numbers"),
        (adapt(confidence=None), "numbers"),
        (adapt(uncertainty=math.nan), "numbers"),
        (adapt(num_seeds=0), "numbers"),
        (adapt(num_seeds=1.0), "numbers"),
        (Decision(kind=DecisionKind.WAIT, reason="a test", risk=math.nan), "numbers"),
        (adapt(barred=None), "barred"),
        (adapt(barred=(3,)), "barred"),
        (adapt(adaptation=None), "known_adaptation"),
        (adapt(adaptation="add_neurons"), "known_adaptation"),
        (adapt(adaptation="grow"), "known_adaptation"),
        (cull(adaptation=ADD), "known_adaptation"),
        (adapt(slot=None), "slot_exists"),
        (adapt(slot="blokc"), "slot_exists"),
        (cull(None), "seed_exists"),
        (cull(2), "seed_exists"),
        (cull(-1), "seed_exists"),
        (cull(False), "seed_exists"),
        (adapt(seed=0), "seed_exists"),
        (adapt(num_seeds=3), "growable"),
        (adapt(risk=0.91), "risk"),
    ],
)
def test_a_malformed_decision_is_refused_by_its_rule(decision: Decision, rule: str) -> None:
    assert broken_rule(decision) == rule


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"gain": None}, "measured"),
        ({"gain": math.nan}, "measured"),
        ({"gain": math.inf}, "measured"),
        ({"gain": -0.5}, None),
        ({"ablation": -0.5}, None),
    ],
)
def test_no_seed_is_kept_unmeasured(changes: dict[str, Any], rule: str | None) -> None:
    observation = with_seeds(make_seed(SeedStage.PROBATIONARY, **changes))
    assert broken_rule(fossilize(), observation) == rule
    assert broken_rule(cull(), observation) is None


@pytest.mark.parametrize(
    ("word", "stage", "passes"),
    [
        (Adaptation.ADD_NEURONS, SeedStage.DORMANT, True),
        (Adaptation.ADD_LAYER, SeedStage.DORMANT, True),
        (Adaptation.REPLACE, SeedStage.DORMANT, False),
        (Adaptation.REMOVE_NEURONS, SeedStage.DORMANT, False),
        (Adaptation.ADD_NEURONS, SeedStage.SHADOWING, False),
        (Adaptation.REPLACE, SeedStage.SHADOWING, True),
        (Adaptation.REMOVE_NEURONS, SeedStage.SHADOWING, True),
        (Adaptation.ADD_NEURONS, SeedStage.EMBARGOED, False),
        (Adaptation.REPLACE, SeedStage.FOSSILIZED, False),
    ],
)
def test_an_adaptation_needs_a_seed_that_it_can_act_on(
    word: Adaptation, stage: SeedStage, passes: bool
) -> None:
    observation = with_seeds(make_seed(stage))
    assert broken_rule(adapt(adaptation=word), observation) == (None if passes else "growable")


def test_growth_is_over_after_its_window_and_verdicts_are_not() -> None:
    observation = with_seeds(make_seed(SeedStage.PROBATIONARY), make_seed(), may_grow=False)
    assert broken_rule(adapt(), observation) == "growth_window"
    assert broken_rule(fossilize(), observation) is None


def test_a_resting_slot_is_not_adapted_but_its_seeds_are_judged() -> None:
    seeds = (make_seed(SeedStage.PROBATIONARY), make_seed())
    for rests_until, rule in ((11, "cooldown"), (10, None)):
        slot = make_slot(seeds=seeds, rests_until=rests_until)
        assert broken_rule(adapt(), make_observation(epoch=10, slots=(slot,))) == rule
        assert broken_rule(cull(), make_observation(epoch=10, slots=(slot,))) is None


def test_a_sick_slot_or_network_is_not_adapted() -> None:
    sick = with_seeds(make_seed(SeedStage.TRAINING, gradient_norm=math.inf), make_seed())
    assert broken_rule(adapt(), sick) == "health"
    assert broken_rule(adapt(slot="other"), sick) is None
    assert broken_rule(cull(), sick) is None
    observation = make_observation()
    diverged = replace(observation, metrics=replace(observation.metrics, val_loss=math.nan))
    assert broken_rule(adapt(), diverged) == "health"


def test_a_problem_slot_gets_no_further_kernel_but_may_lose_the_failing_one() -> None:
    failing = make_seed(SeedStage.SHADOWING, error_rate=0.25)
    observation = with_seeds(failing, make_seed())
    assert broken_rule(adapt(), observation) == "health"
    assert broken_rule(adapt(adaptation=Adaptation.ADD_LAYER), observation) == "health"
    for word in (REMOVE, Adaptation.REPLACE):
        assert broken_rule(adapt(adaptation=word), observation) is None
    assert broken_rule(adapt(slot="other"), observation) is None
    assert broken_rule(cull(), observation) is None
    for rate in (None, 0.13):
        mended = with_seeds(replace(failing, error_rate=rate), make_seed())
        assert broken_rule(adapt(), mended) is None


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"uncertainty": 0.9}, None),
        ({"uncertainty": 0.901}, "uncertainty"),
        ({"uncertainty": None}, "uncertainty"),
        # A trial that a price makes doubtful may be worth it: only keeping asks for confidence.
        ({"confidence": 0.1, "uncertainty": 0.5}, None),
    ],
)
def test_a_learned_policy_must_know_the_state_that_it_judges(
    changes: dict[str, Any], rule: str | None
) -> None:
    assert broken_rule(adapt(learned=True, **changes)) == rule


def test_a_policy_of_rules_states_no_uncertainty_but_is_bound_by_one() -> None:
    assert broken_rule(adapt(confidence=0.5)) is None
    assert broken_rule(adapt(uncertainty=0.95)) == "uncertainty"


def rules_of(decisions: list[Decision], observation: Observation) -> list[str]:
    return [refusal.rule for refusal in review(decisions, observation, Safety())[1]]


def test_a_suspect_network_may_lose_seeds_and_nothing_else() -> None:
    ripe = make_seed(SeedStage.PROBATIONARY)
    wait = Decision(kind=DecisionKind.WAIT, reason="a test")
    wanted = [wait, cull(0), fossilize(1), adapt(slot="other")]
    assert rules_of(wanted, with_seeds(ripe, ripe)) == []
    suspect = with_seeds(ripe, ripe, is_suspect=True)
    assert rules_of(wanted, suspect) == ["governor", "governor"]
    for word in (REMOVE, Adaptation.REPLACE):
        assert rules_of([adapt(adaptation=word)], suspect) == ["governor"]


def test_a_seed_is_changed_once_an_epoch_and_an_adaptation_changes_its_slot() -> None:
    seeds = (make_seed(SeedStage.PROBATIONARY), make_seed(SeedStage.PROBATIONARY), make_seed())
    observation = with_seeds(*seeds)
    again = ["one_change_a_target"]
    assert rules_of([cull(0), cull(1)], observation) == []
    assert rules_of([cull(0), fossilize(0)], observation) == again
    assert rules_of([cull(0), adapt()], observation) == again
    assert rules_of([adapt(), cull(0)], observation) == again
    assert rules_of([adapt(), adapt()], observation) == again
    assert rules_of([cull(0), adapt(slot="other")], observation) == []


def test_a_removal_takes_what_earlier_verdicts_leave() -> None:
    seeds = (make_seed(SeedStage.PROBATIONARY),) * 3
    observation, removal = with_seeds(*seeds), adapt(adaptation=REMOVE)
    again = ["one_change_a_target"]
    assert rules_of([cull(0), fossilize(1), removal], observation) == []
    assert rules_of([removal, cull(0)], observation) == again
    assert rules_of([removal, removal], observation) == again


def test_a_replacement_changes_the_seed_that_it_names() -> None:
    seeds = (make_seed(SeedStage.PROBATIONARY), make_seed(SeedStage.PROBATIONARY), make_seed())
    observation, replacement = with_seeds(*seeds), adapt(adaptation=Adaptation.REPLACE, seed=0)
    again = ["one_change_a_target"]
    assert rules_of([cull(1), replacement], observation) == []
    assert rules_of([replacement, cull(1)], observation) == []
    assert rules_of([cull(0), replacement], observation) == again
    assert rules_of([replacement, replace(replacement, seed=1)], observation) == again
    assert broken_rule(replace(replacement, seed=9), observation) == "seed_exists"
    assert broken_rule(adapt(adaptation=REMOVE, seed=0), observation) == "seed_exists"


def test_a_named_seed_is_replaced_in_a_slot_that_rests() -> None:
    slot = make_slot(seeds=(make_seed(SeedStage.PROBATIONARY), make_seed()), rests_until=30)
    observation = make_observation(slots=(slot,))
    assert broken_rule(adapt(adaptation=Adaptation.REPLACE, seed=0), observation) is None
    assert broken_rule(adapt(adaptation=Adaptation.REPLACE), observation) == "cooldown"


def test_no_kernel_is_kept_with_too_little_confidence() -> None:
    seen = with_seeds(make_seed(SeedStage.PROBATIONARY))
    for least, rules in ((0.75, []), (0.9, ["confidence"])):
        limits = Safety(min_confidence=least)
        refusals = review([fossilize(confidence=0.85)], seen, limits)[1]
        assert [refusal.rule for refusal in refusals] == rules
        refusals = review(
            [fossilize(confidence=0.85, learned=True, uncertainty=0.0)], seen, limits
        )[1]
        assert [refusal.rule for refusal in refusals] == rules
        assert review([cull(0, confidence=0.1)], seen, limits)[1] == []


def test_a_refused_decision_takes_no_place() -> None:
    seeds = (make_seed(SeedStage.PROBATIONARY, gain=None),)
    assert rules_of([fossilize(0), cull(0)], with_seeds(*seeds)) == ["measured"]


def test_two_slots_an_epoch_are_adapted_and_no_third() -> None:
    observation = make_observation(slots=tuple(make_slot(name) for name in "abc"))
    wanted = [adapt(slot=name) for name in "abc"]
    accepted, refusals = review(wanted, observation, Safety())
    assert [decision.slot for decision in accepted] == ["a", "b"]
    assert [refusal.rule for refusal in refusals] == ["max_adaptations_per_epoch"]
