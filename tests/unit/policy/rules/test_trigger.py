import math
import re
from typing import Any

import pytest

from esper.contracts.observation import CurvePoint, Observation
from esper.contracts.stage import LIVE, SeedStage
from esper.policy.rules.trigger import TriggerRules, check_trigger, due_epoch
from tests.unit.policy.builders import make_observation, make_seed, make_slot

STEEP = tuple(0.8**epoch for epoch in range(10))
FLAT = (1.1, 1.0, 0.9, 0.7, 0.9, 1.1)


def fires(observation: Observation, events: int = 0, **rules: Any) -> bool:
    return check_trigger(observation, TriggerRules(**rules), events).fires


def changed_at(epoch: int, now: int, **changes: Any) -> Observation:
    seed = make_seed(SeedStage.TRAINING, last_used_epoch=epoch)
    return make_observation(epoch=now, slots=(make_slot(seeds=(seed,)),), **changes)


@pytest.mark.parametrize(
    ("fraction", "epochs", "due"),
    [(0.10, 40, 4), (0.17, 40, 7), (0.25, 40, 10), (0.07, 100, 7), (0.1, 30, 3), (0.01, 5, 1)],
)
def test_an_event_is_due_at_the_first_epoch_past_its_fraction(
    fraction: float, epochs: int, due: int
) -> None:
    assert due_epoch(fraction, epochs) == due


def test_fractions_fire_one_event_each() -> None:
    at = [make_observation(epoch=epoch) for epoch in (3, 4, 6, 7, 39)]
    assert [fires(o, 0, trigger="fractions") for o in at] == [False, True, True, True, True]
    assert [fires(o, 1, trigger="fractions") for o in at] == [False, False, False, True, True]
    assert [fires(o, 3, trigger="fractions") for o in at] == [False] * 5


def test_a_fraction_says_its_numbers() -> None:
    trigger = check_trigger(make_observation(epoch=7), TriggerRules(trigger="fractions"), 1)
    assert trigger.reason == "epoch 7 >= 17 % of 40 (growth event 2)"


def test_a_plateau_fires_at_three_epochs() -> None:
    seen = [fires(make_observation(plateau_epochs=n), trigger="plateau") for n in (0, 2, 3, 9)]
    assert seen == [False, False, True, True]


def test_a_plateau_does_not_count_in_the_first_epochs() -> None:
    young = make_observation(epoch=4, plateau_epochs=4)
    assert not fires(young, trigger="plateau")
    assert fires(young, trigger="plateau", min_epochs_before_germinate=4)


def test_a_plateau_counts_from_the_last_change() -> None:
    assert not fires(changed_at(8, now=10, plateau_epochs=9), trigger="plateau")
    assert fires(changed_at(7, now=10, plateau_epochs=9), trigger="plateau")
    culled = make_observation(epoch=10, plateau_epochs=9, slots=(make_slot(last_cull_epoch=8),))
    assert not fires(culled, trigger="plateau")


def test_a_slope_compares_two_windows_of_three_epochs() -> None:
    # Means 1.0 and 0.9: a fall of 10 %.  0.8 an epoch is a fall of 1 - 0.8 ** 3 = 49 %.
    flat = check_trigger(make_observation(train_losses=FLAT), TriggerRules(trigger="slope"), 0)
    assert flat.fires
    assert flat.reason == "train loss falls by 10 % < 15 % over two windows of 3 epochs"
    assert not fires(make_observation(train_losses=STEEP), trigger="slope")
    assert not fires(make_observation(train_losses=FLAT), trigger="slope", slope_threshold=0.09)


def test_a_slope_looks_at_the_last_epochs_only() -> None:
    assert fires(make_observation(train_losses=(9.0, 5.0, 2.0, *FLAT)), trigger="slope")


def test_both_windows_of_a_slope_lie_after_the_last_change() -> None:
    assert not fires(changed_at(5, now=10, train_losses=FLAT), trigger="slope")
    assert fires(changed_at(4, now=10, train_losses=FLAT), trigger="slope")


def test_a_slope_needs_six_epochs() -> None:
    young = make_observation(epoch=5, train_losses=FLAT[:5])
    assert not fires(young, trigger="slope")


@pytest.mark.parametrize("train", [(None,) * 6, (*FLAT[:5], None)])
def test_without_every_train_loss_the_validation_loss_is_used(
    train: tuple[float | None, ...],
) -> None:
    observation = make_observation(train_losses=train, val_losses=FLAT)
    trigger = check_trigger(observation, TriggerRules(trigger="slope"), 0)
    assert trigger.fires
    assert trigger.reason.startswith("validation loss")


def test_a_loss_that_is_not_finite_gives_no_slope() -> None:
    broken = make_observation(train_losses=(None,) * 6, val_losses=(*FLAT[:5], math.nan))
    assert not fires(broken, trigger="slope")


def test_a_loss_of_zero_is_flat() -> None:
    assert fires(make_observation(train_losses=(0.0,) * 6), trigger="slope")


def doublings(*losses: float) -> tuple[CurvePoint, ...]:
    return tuple(CurvePoint(2.0**k, 2.0**k, loss) for k, loss in enumerate(losses))


def young(*losses: float, **changes: Any) -> Observation:
    """Return an observation with a curve, an epoch before the run is idle."""
    return make_observation(epoch=5, curve=doublings(*losses), **changes)


def test_early_fires_at_half_of_the_steepest_slope() -> None:
    # Four points that fall by 1 a doubling, then by 0.7, then by 0.3.
    losses = (5.0, 4.0, 3.0, 2.0, 2.0, 2.0)
    seen = [young(*losses[:end]) for end in (4, 5, 6)]
    assert [fires(each) for each in seen] == [False, False, True]
    assert [fires(each, slope_share=0.7001) for each in seen] == [False, True, True]


def test_early_says_its_numbers_and_which_loss_it_reads() -> None:
    flat = young(5, 4, 3, 2, 2, 2, curve_source="training")
    assert check_trigger(flat, TriggerRules(), 0).reason == (
        "training loss falls by 0.3 a doubling of FLOPs <= 50 % of the steepest, 1"
    )
    steep = young(5, 4, 3, 2)
    assert check_trigger(steep, TriggerRules(), 0).reason == (
        "validation loss falls by 1 a doubling of FLOPs > 50 % of the steepest, 1"
    )


def test_early_needs_four_points_at_the_present_size() -> None:
    trigger = check_trigger(young(1, 1, 1), TriggerRules(), 0)
    assert not trigger.fires
    assert trigger.reason == "slope needs 4 points of validation loss at this size, has 3"
    assert fires(young(1, 1, 1, 1))


def test_early_fits_whole_epochs_so_that_noise_within_one_is_no_flatness() -> None:
    # Eight parts an epoch; the loss falls by 0.1 a part and stands still from the tenth on.
    losses = (*(2.3 - 0.1 * part for part in range(10)), *[1.4] * 6)
    points = tuple(CurvePoint(k + 0.5, k + 0.5, loss) for k, loss in enumerate(losses))
    epochs = (losses[:8], losses[8:])
    first = make_observation(epoch=1, curve=points[:8], part_losses=epochs[:1])
    assert check_trigger(first, TriggerRules(), 0).reason == (
        "slope needs 16 points of validation loss at this size, has 8"
    )
    assert fires(make_observation(epoch=2, curve=points)), "the last doubling alone is flat"
    assert not fires(make_observation(epoch=2, curve=points, part_losses=epochs))


def test_early_says_that_a_loss_rises() -> None:
    rising = check_trigger(young(5, 4, 3, 2, 3, 4, 5), TriggerRules(), 0)
    assert (rising.fires, rising.reason) == (
        True,
        "validation loss rises by 1 a doubling of FLOPs, its steepest fall is 1",
    )


def test_early_waits_three_epochs_for_the_loss_to_leave_that_of_the_untrained_network() -> None:
    plateau, fallen = doublings(*[2.0] * 8), doublings(*[2.0] * 4, *[1.9] * 4)

    def seen(epoch: int, curve: tuple[CurvePoint, ...]) -> bool:
        return fires(make_observation(epoch=epoch, curve=curve))

    assert [seen(epoch, plateau) for epoch in (1, 3, 4)] == [False, False, True]
    assert seen(1, fallen)
    young = make_observation(epoch=1, curve=plateau, curve_source="training")
    assert check_trigger(young, TriggerRules(), 0).reason == (
        "training loss has hardly fallen from that of the untrained network, 2"
    )


@pytest.mark.parametrize("epochs", [12, 20, 40, 1000])
def test_early_depends_on_no_budget_and_no_count_of_events(epochs: int) -> None:
    flat, steep = (5, 4, 3, 2, 2, 2), (5, 4, 3, 2)
    for events in (0, 3, 99):
        assert fires(young(*flat, epochs=epochs), events)
        assert not fires(young(*steep, epochs=epochs), events)
        assert fires(make_observation(epoch=6, curve=doublings(*steep), epochs=epochs), events)


def test_early_reads_only_its_own_keys() -> None:
    others = {
        "fractions": (0.01,),
        "slope_window": 1,
        "slope_threshold": 1.0,
        "plateau_epochs_to_germinate": 1,
        "min_epochs_before_germinate": 0,
    }
    steep = young(5, 4, 3, 2, train_losses=FLAT, plateau_epochs=9)
    assert not fires(steep, **others)


@pytest.mark.parametrize(
    ("epoch", "idle_epochs", "expected"),
    [(5, 6, False), (6, 6, True), (7, 6, True), (6, 7, False), (1, 1, True), (99, 100, False)],
)
def test_early_fires_at_any_slope_after_epochs_without_a_trial(
    epoch: int, idle_epochs: int, expected: bool
) -> None:
    steep = make_observation(epoch=epoch, curve=doublings(5, 4, 3, 2))
    assert fires(steep, idle_epochs=idle_epochs) is expected
    assert fires(make_observation(epoch=epoch), idle_epochs=idle_epochs) is expected, "no slope"


def test_early_says_for_how_long_it_was_idle() -> None:
    trigger = check_trigger(make_observation(epoch=9), TriggerRules(), 0)
    assert trigger.reason == "no trial for 9 epochs >= 6"


@pytest.mark.parametrize(("now", "expected"), [(15, False), (16, True)])
def test_idle_epochs_count_from_the_last_germination_or_cull(now: int, expected: bool) -> None:
    kept = make_seed(SeedStage.FOSSILIZED, last_used_epoch=10)
    culled = make_slot("b", seeds=(make_seed(last_used_epoch=3),), last_cull_epoch=10)
    for slot in (make_slot(seeds=(kept, make_seed())), culled):
        slots = (make_slot("a", last_cull_epoch=2), slot)
        assert fires(make_observation(epoch=now, slots=slots)) is expected


@pytest.mark.parametrize("stage", SeedStage)
def test_a_run_with_an_open_trial_is_not_idle(stage: SeedStage) -> None:
    trial = make_slot("a", seeds=(make_seed(stage, last_used_epoch=1),))
    seen = make_observation(epoch=20, slots=(trial, make_slot("b")))
    assert fires(seen) is (stage not in LIVE)


@pytest.mark.parametrize("trigger", ["plateau", "slope", "fractions", "jump"])
def test_only_early_fires_because_a_run_is_idle(trigger: str) -> None:
    seen = make_observation(epoch=30, train_losses=STEEP, part_losses=((0.2,) * 8,) * 2)
    assert fires(seen, idle_epochs=1)
    assert not fires(seen, events=3, trigger=trigger, idle_epochs=1)


def test_a_jump_of_the_training_loss_fires() -> None:
    quiet, drift = (0.2,) * 8, (0.2, 0.2, 0.9, 0.9, 0.9, 0.4, 0.3, 0.3)
    trigger = check_trigger(
        make_observation(part_losses=(quiet, drift)), TriggerRules(trigger="jump"), 0
    )
    assert trigger.fires
    assert trigger.reason == "training loss jumps to 0.667, its mean before is 0.2"
    calm = check_trigger(
        make_observation(part_losses=(quiet, quiet)), TriggerRules(trigger="jump"), 0
    )
    assert (calm.fires, calm.reason) == (False, "training loss has no jump")


def test_a_jump_without_training_losses_says_so() -> None:
    for part_losses in ((), ((), ())):
        unknown = make_observation(part_losses=part_losses, curve=doublings(1, 1, 1, 1))
        trigger = check_trigger(unknown, TriggerRules(trigger="jump"), 0)
        assert not trigger.fires
        assert trigger.reason == "a jump needs training losses, none is known"


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        (
            {"trigger": "soon"},
            "policy.trigger must be one of early, plateau, slope, fractions, jump",
        ),
        ({"idle_epochs": 0}, "policy.idle_epochs must be >= 1, got 0"),
        ({"plateau_epochs_to_germinate": 0}, "policy.plateau_epochs_to_germinate"),
        ({"min_epochs_before_germinate": -1}, "policy.min_epochs_before_germinate"),
        ({"fractions": (0.2, 0.1)}, "policy.fractions must be ascending"),
        ({"fractions": (0.0,)}, "policy.fractions"),
        ({"fractions": (math.nan,)}, "policy.fractions"),
        ({"slope_share": 1.1}, "policy.slope_share must be in [0, 1], got 1.1"),
        ({"slope_share": math.nan}, "policy.slope_share"),
        ({"slope_window": 0}, "policy.slope_window"),
        ({"slope_threshold": math.nan}, "policy.slope_threshold"),
    ],
)
def test_a_bad_rule_is_refused_by_its_key(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=re.escape(key)):
        TriggerRules(**changes)
