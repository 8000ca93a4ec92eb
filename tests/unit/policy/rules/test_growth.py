import math
from dataclasses import replace
from typing import Any

import pytest

from esper.contracts.decision import Adaptation, DecisionKind
from esper.contracts.stage import SeedStage
from esper.policy.base import wait
from esper.policy.rules.growth import (
    GrowthRules,
    Trigger,
    combine,
    growable_slots,
    last_epoch,
    obstacle,
    request_growth,
)
from tests.unit.policy.builders import make_observation, make_seed, make_slot

NOW = Trigger(fires=True, reason="it is time")


@pytest.mark.parametrize(
    ("slot", "why"),
    [
        (make_slot(), None),
        (make_slot(rests_until=10), None),
        (make_slot(rests_until=11), "rests until epoch 11"),
        (make_slot(last_cull_epoch=5), None),
        (make_slot(last_cull_epoch=6), "is within 5 epochs of its cull at epoch 6"),
        (make_slot(seeds=(make_seed(SeedStage.TRAINING), make_seed())), None),
        (
            make_slot(
                seeds=(make_seed(SeedStage.TRAINING), make_seed(SeedStage.BLENDING), make_seed())
            ),
            "has 2 live seeds (at most 2)",
        ),
        (make_slot(seeds=(make_seed(SeedStage.FOSSILIZED),)), "has no dormant seed"),
        (make_slot(seeds=(make_seed(SeedStage.EMBARGOED),)), "has no dormant seed"),
    ],
)
def test_what_keeps_a_slot_closed_at_epoch_10(slot: Any, why: str | None) -> None:
    slots, closed = growable_slots(make_observation(epoch=10, slots=(slot,)), GrowthRules(), [])
    assert slots == ([slot] if why is None else [])
    assert closed == ("" if why is None else f"'block' {why}")


def test_a_slot_that_changes_this_epoch_is_left_alone() -> None:
    cull = replace(wait("x"), kind=DecisionKind.CULL, slot="block", seed=0)
    observation = make_observation(slots=(make_slot(), make_slot("other")))
    slots, closed = growable_slots(observation, GrowthRules(), [cull])
    assert [slot.spec.name for slot in slots] == ["other"]
    assert closed == "'block' changes this epoch"
    looking = replace(wait("look once more"), slot="block", seed=0)
    assert len(growable_slots(observation, GrowthRules(), [looking])[0]) == 2


def test_a_reason_stays_short_with_hundreds_of_slots() -> None:
    slots = tuple(make_slot(f"b{index}", rests_until=99) for index in range(400))
    _, closed = growable_slots(make_observation(slots=slots), GrowthRules(), [])
    assert closed.endswith("'b2' rests until epoch 99; and 397 more")


def test_the_network_does_not_grow_when_it_may_not_or_has_diverged() -> None:
    rules, observation = GrowthRules(), make_observation(epoch=24)
    assert obstacle(observation, rules) is None
    no_time = replace(observation, may_grow=False)
    assert obstacle(no_time, rules) == "epoch 24 of 40 leaves no time for a trial"
    late = make_observation(epoch=25)
    assert obstacle(late, rules) == "epoch 25 of 40 is past policy.grow_until=0.6"
    broken = replace(observation, metrics=replace(observation.metrics, val_loss=math.nan))
    assert obstacle(broken, rules) == "validation loss is nan"
    spent = replace(observation, events_left=0)
    assert obstacle(spent, rules) == "safety.max_events allows no further growth event"
    assert obstacle(replace(observation, events_left=1), rules) is None


@pytest.mark.parametrize(("flops", "waits"), [(0.0, True), (-5.0, True), (0.5, False)])
def test_growth_waits_while_no_trial_is_affordable(flops: float, waits: bool) -> None:
    observation = make_observation(affordable_flops=flops)
    decision = request_growth(observation, NOW, GrowthRules(), [], lambda slots: slots[0])
    assert (decision.kind is DecisionKind.WAIT) == waits
    if waits:
        assert decision.reason == "another trial would cost more than safety.max_cost allows"


@pytest.mark.parametrize(
    ("share", "epochs", "last"),
    # 0.29 * 100 is slightly below 29 in binary.
    [(0.6, 40, 24), (0.6, 14, 8), (0.29, 100, 29), (0.0, 40, 0), (1.0, 7, 7)],
)
def test_the_share_of_the_budget_in_which_seeds_germinate_is_rounded_down(
    share: float, epochs: int, last: int
) -> None:
    assert last_epoch(GrowthRules(grow_until=share), epochs) == last


@pytest.mark.parametrize(("affordable", "is_open"), [(50.0, True), (49.9, False), (math.inf, True)])
def test_a_slot_without_a_kernel_that_can_be_paid_is_closed(
    affordable: float, is_open: bool
) -> None:
    dear, free = make_slot("dear", least_flops=50.0), make_slot("free")
    observation = make_observation(slots=(dear, free), affordable_flops=affordable)
    slots, closed = growable_slots(observation, GrowthRules(), [])
    assert slots == ([dear, free] if is_open else [free])
    assert closed == ("" if is_open else "'dear' has no kernel that safety.max_cost can pay")


def test_a_slot_without_any_kernel_is_closed_under_a_finite_budget_of_any_size() -> None:
    slots = (make_slot(least_flops=math.inf),)
    observation = make_observation(slots=slots, affordable_flops=1e300)
    decision = request_growth(observation, NOW, GrowthRules(), [], lambda slots: slots[0])
    assert decision.kind is DecisionKind.WAIT
    assert decision.reason == (
        "it is time, but no slot can grow: 'block' has no kernel that safety.max_cost can pay"
    )


def test_a_slot_that_rests_says_so_before_what_it_costs() -> None:
    slot = make_slot(rests_until=99, least_flops=50.0)
    _, closed = growable_slots(
        make_observation(slots=(slot,), affordable_flops=1.0), GrowthRules(), []
    )
    assert closed == "'block' rests until epoch 99"


@pytest.mark.parametrize(("wanted", "num_seeds"), [(1, 1), (2, 2), (3, 2), (99, 2), (None, None)])
def test_a_request_asks_for_no_more_seeds_than_the_slot_has(
    wanted: int | None, num_seeds: int | None
) -> None:
    rules = GrowthRules(seeds_per_adaptation=wanted)
    decision = request_growth(make_observation(), NOW, rules, [], lambda slots: slots[0])
    assert decision.num_seeds == num_seeds


def test_a_request_asks_for_what_the_rules_say() -> None:
    rules = GrowthRules(adaptation="add_layer", seeds_per_adaptation=2)
    observation = make_observation(slots=(make_slot("a"), make_slot("b")))
    decision = request_growth(observation, NOW, rules, [], lambda slots: slots[-1])
    assert decision.kind is DecisionKind.ADAPT
    assert (decision.slot, decision.seed) == ("b", None)
    assert (decision.adaptation, decision.num_seeds) == (Adaptation.ADD_LAYER, 2)
    assert decision.reason == "it is time"


def test_a_request_that_cannot_be_waits_and_says_why() -> None:
    def first(slots: Any) -> Any:
        return slots[0]

    early = Trigger(fires=False, reason="too early")
    resting = make_observation(slots=(make_slot(rests_until=99),))
    waits = [
        request_growth(make_observation(), early, GrowthRules(), [], first),
        request_growth(make_observation(may_grow=False), NOW, GrowthRules(), [], first),
        request_growth(resting, NOW, GrowthRules(), [], first),
    ]
    assert {decision.kind for decision in waits} == {DecisionKind.WAIT}
    assert [decision.reason for decision in waits] == [
        "too early",
        "epoch 10 of 40 leaves no time for a trial",
        "it is time, but no slot can grow: 'block' rests until epoch 99",
    ]


def test_waiting_is_said_only_where_nothing_else_is() -> None:
    cull = replace(wait("x"), kind=DecisionKind.CULL, slot="block", seed=0)
    adapt = replace(wait("x"), kind=DecisionKind.ADAPT, slot="block")
    assert combine([], wait("a")) == [wait("a")]
    assert combine([cull], wait("a")) == [cull]
    assert combine([cull], adapt) == [cull, adapt]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embargo_epochs_after_cull": -1}, "policy.embargo_epochs_after_cull must be >= 0"),
        ({"max_live_seeds_per_slot": 0}, "policy.max_live_seeds_per_slot must be >= 1, got 0"),
        (
            {"adaptation": "replace"},
            "policy.adaptation must be one of add_neurons, add_layer, widen, got replace",
        ),
        ({"seeds_per_adaptation": 0}, "policy.seeds_per_adaptation must be >= 1 or null"),
        ({"grow_until": 1.5}, r"policy.grow_until must be in \[0, 1\], got 1.5"),
        ({"grow_until": math.nan}, r"policy.grow_until must be in \[0, 1\], got nan"),
    ],
)
def test_a_bad_rule_is_refused_by_its_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GrowthRules(**changes)
