import json
from collections import Counter
from typing import Any

import pytest

from esper.contracts.decision import DecisionKind
from esper.contracts.observation import CurvePoint
from esper.contracts.outcome import Reward
from esper.contracts.stage import SeedStage
from esper.policy.heuristic import Heuristic
from tests.unit.policy.builders import (
    World,
    make_observation,
    make_outcome,
    make_seed,
    make_slot,
)

ADAPT, CULL = DecisionKind.ADAPT, DecisionKind.CULL
BUSY = Heuristic(idle_epochs=1000)  # grows by the slope of the loss alone


def test_a_run_of_40_epochs_grows_at_the_fractions_4_7_and_10_slot_after_slot() -> None:
    world = World(Heuristic(trigger="fractions").build(0)).run()
    grown = [(epoch, d.slot) for epoch, d in world.of_kind(ADAPT)]
    assert grown == [(4, "block0"), (7, "block1"), (10, "block2")]
    assert world.of_kind(ADAPT)[1][1].reason == "epoch 7 >= 17 % of 40 (growth event 2)"
    assert world.refusals == []


def flat_after_four(epoch: int) -> float:
    """Return an accuracy whose loss of one point an epoch is 0.8, 0.6, 0.4, 0.2, 0.2, ..."""
    return min(0.8, 0.2 * epoch)


def test_a_run_whose_loss_is_flat_grows_in_every_slot_that_is_free() -> None:
    # The last four points are level at epoch 7; at epoch 6 they fall by 0.171 a doubling, which is
    # over half of 0.273, at epoch 5.  No seed is looked at before epoch 11.
    world = World(BUSY.build(0), accuracy=flat_after_four).run(epochs=10)
    grown = [(epoch, d.slot) for epoch, d in world.of_kind(ADAPT)]
    assert grown == [(7, "block0"), (8, "block1"), (9, "block2")]
    (epoch, last) = world.decisions[-1]
    assert (epoch, last.kind) == (10, DecisionKind.WAIT)
    assert "no slot can grow" in last.reason
    assert world.refusals == []


@pytest.mark.parametrize("epochs", [12, 20, 40, 100])
def test_the_first_growth_depends_on_no_budget(epochs: int) -> None:
    for option, first in ((BUSY, 7), (Heuristic(), 6)):
        world = World(option.build(0), epochs=epochs, accuracy=flat_after_four).run()
        assert world.of_kind(ADAPT)[0][0] == first


def test_a_run_whose_loss_falls_ever_faster_does_not_grow_until_it_is_idle() -> None:
    def run_of(option: Heuristic) -> World:
        return World(option.build(0), accuracy=lambda epoch: epoch / 24).run(epochs=23)

    busy = run_of(BUSY)
    assert busy.of_kind(ADAPT) == []
    assert "> 50 % of the steepest" in busy.decisions[-1][1].reason
    # A seed germinates at epoch 6 and is kept at age 4; the next trial is 6 epochs after the first.
    grown = [(epoch, d.slot, d.reason) for epoch, d in run_of(Heuristic()).of_kind(ADAPT)]
    assert grown == [
        (6, "block0", "no trial for 6 epochs >= 6"),
        (12, "block1", "no trial for 6 epochs >= 6"),
        (18, "block2", "no trial for 6 epochs >= 6"),
    ]


def test_a_slot_with_an_open_trial_waits_for_its_verdict() -> None:
    slots = (make_slot(seeds=(make_seed(SeedStage.TRAINING), make_seed())),)
    for limit, kind in ((1, DecisionKind.WAIT), (2, ADAPT)):
        policy = Heuristic(trigger="fractions", max_live_seeds_per_slot=limit).build(0)
        (decision,) = policy.decide(make_observation(slots=slots))
        assert decision.kind is kind
    assert Heuristic().max_live_seeds_per_slot == 1


def closed_until(gains: list[float], num_trials: int = 1, **options: Any) -> int:
    """Return the first epoch that may grow a slot culled at epoch 10, after events with gains."""
    policy = Heuristic(**options).build(0)
    for began, gain in enumerate(gains, start=1):
        for _ in range(num_trials):
            policy.learn(make_outcome(gain=gain, germinated_epoch=began), Reward(total=0.0))
    flat = tuple(CurvePoint(2.0**k, 2.0**k, 1.0) for k in range(4))
    slots = (make_slot(last_cull_epoch=10),)
    for epoch in range(10, 100):
        observation = make_observation(epoch, slots, epochs=100, curve=flat, plateau_epochs=9)
        if policy.decide(observation)[0].kind is ADAPT:
            return epoch
    return 100


def test_three_events_in_a_row_without_gain_double_the_wait_after_a_cull() -> None:
    lengths = [closed_until([-0.1] * fails) - 10 for fails in (0, 2, 3, 5, 6, 9)]
    assert lengths == [5, 5, 10, 10, 20, 40]
    assert closed_until([-0.1, -0.1, -0.1, 0.01]) == 15
    assert closed_until([-0.1, 0.01, -0.1, -0.1]) == 15
    assert closed_until([-0.1] * 3, embargo_epochs_after_cull=2) == 14


def test_several_kernels_of_an_event_say_the_same_of_its_time() -> None:
    lengths = [closed_until([-0.1] * fails, num_trials=3) - 10 for fails in (1, 2, 3)]
    assert lengths == [5, 5, 10]


def test_only_the_early_trigger_waits_longer() -> None:
    assert closed_until([-0.1] * 6, trigger="plateau") == 15


def test_the_wait_and_the_order_survive_a_save() -> None:
    policy, other = Heuristic().build(0), Heuristic().build(0)
    for began, slot in enumerate("aab", start=1):
        outcome = make_outcome(slot=slot, gain=-0.1, germinated_epoch=began)
        policy.learn(outcome, Reward(total=0.0))
    other.load_state_dict(json.loads(json.dumps(policy.state_dict())))
    flat = tuple(CurvePoint(2.0**k, 2.0**k, 1.0) for k in range(4))
    seeds = (make_seed(activations=2), make_seed())
    slots = tuple(make_slot(name, seeds, last_cull_epoch=10) for name in "ab")
    for epoch, kind in ((19, DecisionKind.WAIT), (20, ADAPT)):
        (decision,) = other.decide(make_observation(epoch, slots, curve=flat))
        assert decision.kind is kind
    # 'a' failed twice, 'b' once.
    assert decision.slot == "b"


def test_a_useless_seed_is_culled_and_a_doubtful_one_is_looked_at_once_more() -> None:
    option = Heuristic(trigger="fractions", seeds_per_adaptation=1)
    useless = World(option.build(0), gain=lambda name: 0.0).run(epochs=20)
    assert [epoch for epoch, _ in useless.of_kind(DecisionKind.CULL)][:2] == [8, 11]
    doubtful = World(option.build(0), gain=lambda name: 0.004).run(epochs=20)
    culls = [(epoch, d.slot) for epoch, d in doubtful.of_kind(DecisionKind.CULL)]
    assert culls[:2] == [(13, "block0"), (16, "block1")]
    looks = [
        (epoch, d.slot)
        for epoch, d in doubtful.of_kind(DecisionKind.WAIT)
        if d.reason.endswith("look again later")
    ]
    # Germinated at 4, 7 and 10; looks at ages 4 and 6.
    assert looks[:4] == [(8, "block0"), (10, "block0"), (11, "block1"), (13, "block1")]


def test_the_slot_with_the_best_score_grows_first() -> None:
    slots = (make_slot("a", score=1.0), make_slot("b", score=2.0))
    (decision,) = Heuristic(trigger="fractions").build(0).decide(make_observation(slots=slots))
    assert decision.slot == "b"


def test_a_seed_whose_gain_was_never_measured_is_culled_and_never_kept() -> None:
    world = World(Heuristic().build(0), gain=lambda name: None).run()
    assert world.of_kind(DecisionKind.FOSSILIZE) == []
    (_, first), *_ = world.of_kind(DecisionKind.CULL)
    assert first.reason == "gain was not measured at age 9"


def test_a_slot_is_left_alone_for_five_epochs_after_a_cull() -> None:
    option = Heuristic(trigger="plateau")
    world = World(option.build(0), num_slots=1, gain=lambda name: -0.1, accuracy=lambda e: 0.5)
    world.run()
    culls = [epoch for epoch, _ in world.of_kind(DecisionKind.CULL)]
    grown = [epoch for epoch, _ in world.of_kind(ADAPT)]
    assert culls
    assert all(not culled <= epoch < culled + 5 for culled in culls for epoch in grown)


def test_nothing_grows_after_the_window_but_verdicts_still_fall() -> None:
    option = Heuristic(trigger="fractions", fractions=(0.5, 0.55, 0.8), seeds_per_adaptation=1)
    world = World(option.build(0)).run()
    assert [epoch for epoch, _ in world.of_kind(ADAPT)] == [20, 22]
    assert [epoch for epoch, _ in world.of_kind(DecisionKind.FOSSILIZE)] == [24, 26]


def test_the_slot_with_the_fewest_germinations_is_chosen_the_first_of_several() -> None:
    slots = (
        make_slot("a", seeds=(make_seed(activations=2), make_seed())),
        make_slot("b", seeds=(make_seed(activations=1), make_seed())),
        make_slot("c", seeds=(make_seed(), make_seed(activations=1))),
    )
    (decision,) = Heuristic(trigger="fractions").build(0).decide(make_observation(slots=slots))
    assert decision.slot == "b"


def test_a_slot_that_cannot_be_served_does_not_starve_the_others() -> None:
    policy = Heuristic(trigger="fractions").build(0)
    slots = (make_slot("a"), make_slot("b"))
    asked = [policy.decide(make_observation(epoch=e, slots=slots))[0].slot for e in (10, 11, 12)]
    assert asked == ["a", "b", "a"]


def test_urgency_grows_with_the_plateau_and_risk_with_time() -> None:
    weights = []
    for flat in (0, 3, 6):
        policy = Heuristic(trigger="fractions").build(0)
        (decision,) = policy.decide(make_observation(plateau_epochs=flat))
        weights.append((decision.confidence, decision.urgency, decision.risk))
    assert weights == [(0.5, 0.0, 0.25), (0.5, 0.5, 0.25), (0.5, 0.75, 0.25)]


def test_confidence_in_growth_is_the_share_of_trials_that_were_kept() -> None:
    policy = Heuristic(trigger="fractions").build(0)
    for kept in (True, False, False):
        policy.learn(make_outcome(fossilized=kept), Reward(total=0.0))
    (decision,) = policy.decide(make_observation())
    assert decision.confidence == 2 / 5


def test_a_restored_run_is_idle_when_the_other_one_is() -> None:
    # Idle epochs are read from the slots, so that a fresh policy counts them too.
    world = World(Heuristic().build(0), accuracy=lambda epoch: epoch / 24).run(epochs=11)
    state, world.policy = world.policy.state_dict(), Heuristic().build(0)
    world.policy.load_state_dict(json.loads(json.dumps(state)))
    world.run(epochs=1)
    assert [epoch for epoch, _ in world.of_kind(ADAPT)] == [6, 12]


def test_a_blueprint_culled_twice_is_barred_for_two_growth_events() -> None:
    policy = Heuristic(trigger="fractions", fractions=(0.1,) * 9).build(0)
    for total in (2.0, 4.0):
        learned = policy.learn(make_outcome("mlp"), Reward(total=-0.1))
        assert learned == {"policy/heuristic/penalty/mlp": total}
    barred = []
    for events in range(4):
        slots = (make_slot(seeds=(make_seed(activations=events), make_seed(bound="mlp"))),)
        for epoch in (10, 11):
            (decision,) = policy.decide(make_observation(epoch, slots))
            barred.append(decision.barred)
    assert barred == [("mlp",)] * 4 + [()] * 4


def test_a_fossilized_seed_costs_its_blueprint_nothing() -> None:
    policy = Heuristic().build(0)
    learned = policy.learn(make_outcome("mlp", fossilized=True), Reward(total=0.5))
    assert learned == {"policy/heuristic/penalty/mlp": 0.0}


def test_when_all_dormant_seeds_are_barred_they_take_turns() -> None:
    policy = Heuristic(trigger="fractions").build(0)
    for name in ("affine", "mlp"):
        for _ in range(2):
            policy.learn(make_outcome(name, epoch=10), Reward(total=-0.1))
    barred = [policy.decide(make_observation(epoch=10))[0].barred for _ in range(3)]
    assert barred == [("mlp",), ("affine",), ("mlp",)]


def test_verdicts_come_before_the_wish_to_grow_elsewhere() -> None:
    ripe = make_slot("a", seeds=(make_seed(SeedStage.PROBATIONARY), make_seed()))
    policy = Heuristic(trigger="fractions").build(0)
    decisions = policy.decide(make_observation(slots=(ripe, make_slot("b"))))
    assert [(d.kind, d.slot) for d in decisions] == [
        (DecisionKind.FOSSILIZE, "a"),
        (ADAPT, "b"),
    ]


@pytest.mark.parametrize("num_slots", [1, 4])
@pytest.mark.parametrize("trigger", ["early", "plateau", "slope", "fractions"])
def test_every_trigger_adapts_a_flat_run(trigger: str, num_slots: int) -> None:
    world = World(
        Heuristic(trigger=trigger).build(0), num_slots=num_slots, accuracy=lambda epoch: 0.5
    ).run()
    assert len(world.of_kind(ADAPT)) >= 2


def test_growth_is_spread_over_the_slots() -> None:
    world = World(Heuristic(trigger="slope").build(0), epochs=100, accuracy=lambda e: 0.5).run()
    counts = Counter(decision.slot for _, decision in world.of_kind(ADAPT))
    assert len(counts) == 3
    assert max(counts.values()) - min(counts.values()) <= 1


def test_lists_from_a_config_become_tuples() -> None:
    fractions: Any = [0.2, 0.4]
    assert Heuristic(fractions=fractions).fractions == (0.2, 0.4)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"confidence_to_fossilize": 1.1}, "policy.confidence_to_fossilize"),
        ({"trigger": "late"}, "policy.trigger"),
        ({"adaptation": "shrink"}, "policy.adaptation"),
        ({"cull_if_accuracy_drops_by": 2.0}, "policy.cull_if_accuracy_drops_by"),
        ({"penalty_decay": -0.5}, "policy.penalty_decay"),
    ],
)
def test_every_group_of_keys_is_checked(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=key):
        Heuristic(**changes)
