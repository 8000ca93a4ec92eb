"""Which change a slot gets, by its state."""

from dataclasses import replace
from typing import Any

import pytest

from esper.contracts.decision import Adaptation, Decision, DecisionKind
from esper.contracts.observation import Observation
from esper.contracts.slot import Prospect, SeedState
from esper.contracts.stage import SeedStage
from esper.policy.rules.adaptation import risk_of, with_removals, with_replacements
from esper.policy.rules.growth import GrowthRules
from esper.policy.rules.penalties import Penalties, PenaltyRules
from esper.policy.rules.verdict import VerdictRules, judge
from tests.unit.policy.builders import make_look, make_observation, make_seed, make_slot

ADAPT, CULL, WAIT = DecisionKind.ADAPT, DecisionKind.CULL, DecisionKind.WAIT


def ripe(gain: float | None, error: float = 0.01, **look: Any) -> SeedState:
    """Return a seed at a look whose bar is 0.02, 0.017 at the last, and least gain 0.005."""
    found = make_look(**{"least": 0.005, **look})
    return make_seed(SeedStage.PROBATIONARY, gain=gain, gain_error=error, look=found)


def seen(*seeds: SeedState, prospects: tuple[Prospect, ...] = (), **changes: Any) -> Observation:
    """Return slot 'block' with the seeds at epoch 10 of 40."""
    slots = (make_slot(seeds=seeds, prospects=prospects),)
    return make_observation(**{"slots": slots, **changes})


def verdicts(observation: Observation) -> list[Decision]:
    return judge(observation, VerdictRules())


def decided(observation: Observation) -> list[Decision]:
    return with_removals(verdicts(observation), observation, VerdictRules())


def removed(observation: Observation) -> list[Decision]:
    return [decision for decision in decided(observation) if decision.kind is ADAPT]


def test_two_undecided_seeds_of_age_six_are_too_many() -> None:
    observation = seen(ripe(0.01), ripe(0.015), make_seed())
    (decision,) = decided(observation)
    assert (decision.kind, decision.slot, decision.seed) == (ADAPT, "block", None)
    assert decision.adaptation is Adaptation.REMOVE_NEURONS
    assert decision.reason == "2 seeds are undecided at age 6"
    # 0.005 apart, with an error of 0.01 each: 0.354 standard errors.
    assert decision.confidence == pytest.approx(0.638, abs=1e-3)
    assert decision.risk == 0.25


@pytest.mark.parametrize(
    "seeds",
    [
        (ripe(0.01),),
        (ripe(0.01), ripe(-0.01)),
        (ripe(0.01), ripe(0.05)),
        (ripe(0.01, age=4), ripe(0.01, age=4)),
        (ripe(0.01, is_last=True), ripe(0.01, is_last=True)),
    ],
)
def test_one_undecided_seed_and_a_young_or_a_decided_one_are_not(
    seeds: tuple[SeedState, ...],
) -> None:
    assert removed(seen(*seeds)) == []


def test_nothing_blends_again_when_no_look_would_follow() -> None:
    seeds = ripe(0.01), ripe(0.01)
    assert removed(seen(*seeds, may_blend_again=False)) == []
    assert removed(seen(*seeds, may_grow=False)) == []


def test_other_verdicts_in_the_slot_stay_and_come_first() -> None:
    observation = seen(ripe(0.01), ripe(-0.01), ripe(0.01))
    decisions = decided(observation)
    assert [(d.kind, d.seed) for d in decisions] == [(CULL, 1), (ADAPT, None)]


def unpaid(gain: float, **changes: Any) -> SeedState:
    """Return a seed whose next look the run cannot pay for."""
    return replace(ripe(gain, is_last=True, is_unpaid=True), **changes)


def test_a_seed_that_is_culled_only_for_its_cost_is_undecided() -> None:
    (decision,) = decided(seen(ripe(0.015), unpaid(0.01)))
    assert decision.adaptation is Adaptation.REMOVE_NEURONS
    assert decision.reason == "2 seeds are undecided at age 6"


@pytest.mark.parametrize(
    ("seeds", "kinds"),
    [
        # One of two that are kept could not be paid for.
        ((ripe(0.015), unpaid(0.01), unpaid(0.01)), [WAIT, CULL, CULL]),
        ((unpaid(0.01), unpaid(0.01)), [CULL, CULL]),
        # It would be culled at any cost.
        ((ripe(0.015), unpaid(0.01, improvement=-0.1)), [WAIT, CULL]),
        ((ripe(0.015), unpaid(-0.01)), [WAIT, CULL]),
    ],
)
def test_other_culls_leave_nobody_undecided(
    seeds: tuple[SeedState, ...], kinds: list[DecisionKind]
) -> None:
    assert [decision.kind for decision in decided(seen(*seeds))] == kinds


def test_verdicts_to_wait_in_other_slots_stay() -> None:
    slots = (make_slot("a", (ripe(0.01),)), make_slot("b", (ripe(0.01), ripe(0.01))))
    observation = make_observation(slots=slots)
    decisions = decided(observation)
    assert [(d.kind, d.slot) for d in decisions] == [(WAIT, "a"), (ADAPT, "b")]


def test_seeds_without_a_gain_are_alike() -> None:
    (decision,) = removed(seen(ripe(None), ripe(None)))
    assert decision.confidence == 0.5
    (decision,) = removed(seen(ripe(0.01, error=0.0), ripe(0.02, error=0.0)))
    assert decision.confidence == 1.0


GOOD = Prospect(blueprint="mlp", expected_gain=0.03, risk=0.3)
FAIR = Prospect(blueprint="lora", expected_gain=0.02, risk=0.1)
POOR = Prospect(blueprint="norm", expected_gain=0.01)


def replaced(
    observation: Observation, culled: tuple[str, ...] = (), **rules: Any
) -> list[Decision]:
    penalties = Penalties(PenaltyRules())
    for name in culled:
        penalties.add(name)
    found = verdicts(observation)
    return with_replacements(found, observation, GrowthRules(**rules), VerdictRules(), penalties)


def test_a_culled_seed_is_replaced_by_what_promises_most() -> None:
    (decision,) = replaced(seen(ripe(-0.01), prospects=(GOOD, FAIR, POOR)))
    assert (decision.kind, decision.slot, decision.seed) == (ADAPT, "block", 0)
    assert decision.adaptation is Adaptation.REPLACE
    assert decision.reason == "gain -0.01 <= 0 at age 6; mlp is expected to gain 0.03 > 0.017"
    assert decision.risk == 0.25, "the time over; FAIR risks less"
    assert decision.barred == ("affine", "gated_mlp", "norm"), "only what promises enough is tried"
    # The gain is 1.5 standard errors under the least one.
    assert decision.confidence == pytest.approx(0.9332, abs=1e-4)


def test_a_barred_blueprint_replaces_nothing_while_another_can() -> None:
    twice = ("mlp", "mlp")
    (decision,) = replaced(seen(ripe(-0.01), prospects=(GOOD, FAIR)), culled=twice)
    assert "lora is expected to gain 0.02" in decision.reason
    assert decision.barred == ("affine", "mlp", "gated_mlp", "norm")


@pytest.mark.parametrize(
    ("expected", "added_flops", "error", "last_bar"),
    [
        (None, 0.0, 0.01, 0.017),
        (-0.01, 0.0, 0.01, 0.017),
        (0.017, 0.0, 0.01, 0.017),
        (0.026, 1.0, 0.01, 0.017),  # 0.016 after the price of a doubling
        (0.0065, 0.0, 0.003, 0.0051),  # half an error over the least gain: confidence 0.69
        (0.03, 0.0, None, 0.005),  # how well a gain is known here was not measured
    ],
)
def test_without_the_hope_to_be_kept_a_cull_is_a_cull(
    expected: float | None, added_flops: float, error: float | None, last_bar: float
) -> None:
    prospect = Prospect(blueprint="mlp", expected_gain=expected, added_flops=added_flops)
    seed = replace(ripe(-0.01, is_last=True, last_bar=last_bar), gain_error=error)
    (decision,) = replaced(seen(seed, prospects=(prospect,)))
    assert decision.kind is CULL
    assert "mlp" not in decision.reason


def test_a_trial_that_the_run_cannot_pay_is_not_asked_for_and_the_cull_says_so() -> None:
    dear = Prospect(blueprint="mlp", expected_gain=0.03, fits=False)
    (decision,) = replaced(seen(ripe(-0.01), prospects=(dear,)))
    assert decision.kind is CULL
    assert decision.reason.endswith("<= 0 at age 6; safety.max_cost pays for no trial of mlp")
    (decision,) = replaced(seen(ripe(-0.01), prospects=(dear, FAIR)))
    assert decision.kind is ADAPT
    assert "mlp" in decision.barred, "the plan must not take it"


@pytest.mark.parametrize(
    "changes",
    [
        {"may_grow": False},
        {"is_suspect": True},
        {"epochs": 16},  # 60 % of them end at epoch 9
        {"events_left": 0},
    ],
)
def test_nothing_is_replaced_when_nothing_may_germinate(changes: dict[str, Any]) -> None:
    (decision,) = replaced(seen(ripe(-0.01), prospects=(GOOD,), **changes))
    assert decision.kind is CULL
    assert decision.reason == "gain -0.01 <= 0 at age 6"


def test_embargo_and_rest_do_not_hold_a_replacement_back() -> None:
    slot = make_slot(seeds=(ripe(-0.01),), prospects=(GOOD,), last_cull_epoch=10, rests_until=30)
    (decision,) = replaced(make_observation(slots=(slot,)), embargo_epochs_after_cull=30)
    assert decision.kind is ADAPT


def test_a_slot_gets_one_replacement_after_all_other_verdicts() -> None:
    observation = seen(ripe(-0.01), ripe(-0.02), ripe(0.05), prospects=(GOOD,))
    decisions = replaced(observation)
    assert [(d.kind, d.seed) for d in decisions] == [
        (CULL, 1),
        (DecisionKind.FOSSILIZE, 2),
        (ADAPT, 0),
    ]


def test_a_slot_that_keeps_its_better_half_gets_no_replacement() -> None:
    observation = seen(ripe(0.01), ripe(-0.01), ripe(0.01), prospects=(GOOD,))
    found = decided(observation)
    penalties = Penalties(PenaltyRules())
    decisions = with_replacements(found, observation, GrowthRules(), VerdictRules(), penalties)
    assert [d.adaptation for d in decisions] == [None, Adaptation.REMOVE_NEURONS]


def test_a_cull_between_the_looks_replaces_nothing() -> None:
    sick = make_seed(SeedStage.SHADOWING, unhealthy_epochs=2)
    (decision,) = replaced(seen(sick, prospects=(GOOD,)))
    assert decision.kind is CULL


def test_risk_is_the_share_of_the_budget_that_is_over_or_a_larger_one() -> None:
    assert risk_of(make_observation(epoch=10)) == 0.25
    assert risk_of(make_observation(epoch=10), 0.1, 0.4) == 0.4
