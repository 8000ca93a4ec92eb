"""The governor's verdicts, by hand and over long simulated runs."""

import json
import math
from collections.abc import Callable, Iterable
from random import Random

import pytest

from esper.safety.governor import Health, HealthKind, LossMonitor
from esper.safety.options import GovernorOptions

CHANCE = 2.0
CLEAN, SUSPECT, ROLL_BACK = HealthKind
Curve = Callable[[int], float]


def look(watch: LossMonitor, *losses: float) -> list[HealthKind]:
    return [verdict.kind for verdict in verdicts(watch, losses)]


def verdicts(watch: LossMonitor, losses: Iterable[float]) -> list[Health]:
    return [watch.check(epoch, loss, None, True) for epoch, loss in enumerate(losses, 1)]


def make_watch(
    *losses: float, chance_loss: float | None = CHANCE, **options: object
) -> LossMonitor:
    """Return a monitor that has judged `losses`; by default ten of 0.5, which arm it."""
    watch = LossMonitor(GovernorOptions(**options), chance_loss)  # type: ignore[arg-type]
    verdicts(watch, losses or (0.5,) * 10)
    return watch


def test_a_rise_over_three_medians_is_suspect_once_and_rolled_back_the_second_time() -> None:
    watch = make_watch()
    assert watch.limit == 1.5
    assert look(watch, 1.5) == [CLEAN]
    assert look(watch, 1.51, 1.51) == [SUSPECT, ROLL_BACK]


def test_chance_level_is_suspect_though_it_is_no_threefold_rise() -> None:
    watch = make_watch(*[1.0] * 10)
    assert watch.limit == CHANCE
    assert look(watch, 1.99, CHANCE, 1.99, CHANCE, CHANCE) == [
        CLEAN, SUSPECT, CLEAN, SUSPECT, ROLL_BACK,
    ]  # fmt: skip


def test_a_single_spike_is_suspect_and_leaves_no_trace() -> None:
    watch = make_watch()
    before = watch.state_dict()
    assert look(watch, 6.0) == [SUSPECT]
    assert look(watch, 0.5, 6.0, 0.5) == [CLEAN, SUSPECT, CLEAN]
    assert watch.state_dict() == before


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("armed", [False, True])
def test_what_is_not_finite_is_rolled_back_at_once(loss: float, armed: bool) -> None:
    watch = make_watch(*([0.5] * 10 if armed else [3.0]))
    assert watch.is_armed is armed
    assert watch.check(1, loss, 0.5, True).kind is ROLL_BACK
    assert watch.check(1, 0.5, loss, True).kind is ROLL_BACK
    assert watch.check(1, 0.5, None, False).kind is ROLL_BACK
    assert look(watch, 0.5) == [CLEAN]


def test_no_suspicion_before_the_losses_have_left_chance_level() -> None:
    watch = LossMonitor(GovernorOptions(), CHANCE)
    assert look(watch, 2.3, 90.0, 1.5, 1.4, 1.4) == [CLEAN] * 5
    assert not watch.is_armed
    # The median of these and four times 1.0 is 1.4: not yet under 0.7 x 2.
    look(watch, *[1.0] * 4)
    assert (watch.is_armed, watch.limit) == (False, None)
    look(watch, 1.0)
    assert (watch.is_armed, watch.limit) == (True, CHANCE)


def test_one_lucky_loss_arms_nothing_and_being_armed_lasts() -> None:
    watch = LossMonitor(GovernorOptions(), CHANCE)
    look(watch, 0.1, 1.9)
    assert not watch.is_armed
    look(watch, 0.1)
    assert watch.is_armed
    # Losses that creep up to chance level raise the median with them.
    assert look(watch, *[0.2] * 9, *[0.5] * 9, *[1.4] * 9, *[1.9] * 9) == [CLEAN] * 36
    assert look(watch, 2.1, 2.1) == [SUSPECT, ROLL_BACK]


def test_without_a_chance_level_a_full_window_arms() -> None:
    watch = make_watch(*[0.5] * 9, chance_loss=None)
    assert look(watch, 6.0) == [CLEAN]
    watch = make_watch(*[0.5] * 10, chance_loss=None)
    assert watch.limit == 1.5
    assert look(watch, 6.0, 6.0) == [SUSPECT, ROLL_BACK]


def test_a_tiny_loss_may_change_by_factors() -> None:
    watch = make_watch(*[0.001] * 10)
    assert watch.limit == pytest.approx(0.2)
    assert look(watch, 0.19, 0.19) == [CLEAN, CLEAN]
    assert look(watch, 0.21, 0.21) == [SUSPECT, ROLL_BACK]


def test_without_a_chance_level_the_first_loss_says_what_is_tiny() -> None:
    watch = make_watch(1.0, *[0.001] * 20, chance_loss=None)
    assert watch.limit == pytest.approx(0.1)
    watch = make_watch(1.0, *[0.001] * 20, chance_loss=None, floor=0.0)
    assert watch.limit == pytest.approx(0.003)


def test_a_loss_below_zero_may_rise_as_far_as_one_above() -> None:
    watch = make_watch(*[-1.0] * 10, chance_loss=None)
    assert watch.limit == 1.0  # two sizes of the median above it
    # A loss that crosses zero has a tiny median for a while.
    watch = LossMonitor(GovernorOptions(), None)
    rng = Random(0)
    sinking = [5 - 0.1 * epoch + rng.uniform(-0.2, 0.2) for epoch in range(100)]
    assert set(look(watch, *sinking)) == {CLEAN}


def test_suspect_losses_do_not_raise_the_median() -> None:
    watch = make_watch(sustained=1000)
    assert set(look(watch, *[6.0] * 100)) == {SUSPECT}
    assert watch.limit == 1.5


def test_after_a_rollback_the_count_of_suspects_starts_anew() -> None:
    watch = make_watch(sustained=3)
    assert look(watch, *[6.0] * 4) == [SUSPECT, SUSPECT, ROLL_BACK, SUSPECT]
    assert look(watch, math.nan, *[6.0] * 3) == [ROLL_BACK, SUSPECT, SUSPECT, ROLL_BACK]


def test_the_third_rollback_ends_growth_and_then_only_what_is_not_finite_is_harm() -> None:
    watch = make_watch()
    ended = []
    for watch.rollbacks in range(1, 5):
        ended.append(watch.has_ended_growth)
    assert ended == [False, False, True, True]
    assert look(watch, math.nan, 6.0, 6.0) == [ROLL_BACK, CLEAN, CLEAN]


def test_a_reason_gives_the_loss_and_the_limit() -> None:
    clean, first, second = verdicts(make_watch(), (0.4, 1.75, 1.8))
    assert (clean.reason, clean.limit) == ("validation loss 0.4, the limit is 1.5", 1.5)
    assert first.reason == (
        "validation loss 1.75 > 1.5, where the median of the last 10 clean losses is 0.5, "
        "1 of 2 evaluations in a row"
    )
    assert second.reason == (
        "validation loss 1.8 > 1.5, where the median of the last 10 clean losses is 0.5, "
        "2 of 2 evaluations in a row since epoch 2"
    )
    (risen,) = verdicts(make_watch(), (6.0,))
    assert risen.reason.startswith("validation loss 6 is at chance level, 2, 1 of 2")
    unarmed = LossMonitor(GovernorOptions(), CHANCE).check(1, 3.0, None, True)
    assert (unarmed.reason, unarmed.limit) == ("validation loss 3, no limit yet", None)
    broken = [(math.nan, 1.0, True), (1.0, math.inf, True), (1.0, None, False)]
    assert [make_watch().check(1, *seen).reason for seen in broken] == [
        "validation loss is nan",
        "training loss is inf",
        "a loss or gradient of the epoch's training was not finite",
    ]


def test_a_saved_monitor_judges_as_the_first_one() -> None:
    rng = Random(3)
    losses = [rng.choice([0.5, 0.5, 0.4, 6.0, 1.9, math.nan]) for _ in range(200)]
    for cut in (0, 1, 2, 9, 57):
        whole, first, second = (LossMonitor(GovernorOptions(), CHANCE) for _ in range(3))
        expected = verdicts(whole, losses)[cut:]
        verdicts(first, losses[:cut])
        first.rollbacks += 1
        second.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
        later = [second.check(cut + n, x, None, True) for n, x in enumerate(losses[cut:], 1)]
        assert later == expected
        assert second.rollbacks == 1


def noisy(curve: Curve, rng: Random, epochs: int) -> list[float]:
    return [curve(epoch) * rng.uniform(0.8, 1.2) for epoch in range(epochs)]


def constant(level: float) -> Curve:
    return lambda epoch: level


def decaying(level: float, epochs: float) -> Curve:
    """Return a curve from chance level down to `level`, e-fold in so many epochs."""
    return lambda epoch: level + (CHANCE - level) * math.exp(-epoch / epochs)


LEVELS = [share * CHANCE for share in (0.001, 0.01, 0.03, 0.1, 0.33, 0.5, 0.65, 0.7, 0.75)]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("chance_loss", [CHANCE, None])
def test_noise_of_a_fifth_never_triggers_in_10000_epochs(
    level: float, chance_loss: float | None
) -> None:
    curves = [constant(level), *(decaying(level, epochs) for epochs in (1, 5, 50, 3000))]
    for rng_seed, curve in enumerate(curves):
        watch = LossMonitor(GovernorOptions(), chance_loss)
        kinds = set(look(watch, *noisy(curve, Random(rng_seed), 10_000)))
        assert kinds == {CLEAN}
        assert watch.is_armed or level > 0.6 * CHANCE


@pytest.mark.parametrize("chance_loss", [CHANCE, None])
def test_a_loss_of_6_after_half_triggers_within_two_evaluations_whenever_it_comes(
    chance_loss: float | None,
) -> None:
    rng = Random(1)
    # A loss that sinks slowly is far above 0.5 yet when ten clean ones arm.
    slow = [] if chance_loss is None else [decaying(0.5, 50)]
    for curve in (constant(0.5), decaying(0.5, 5), *slow):
        for epoch in [*range(1, 40), 100, 1000]:
            watch = LossMonitor(GovernorOptions(), chance_loss)
            look(watch, *noisy(curve, rng, epoch))
            if watch.is_armed:
                assert look(watch, 6.0 * rng.uniform(0.8, 1.2), 6.0) == [SUSPECT, ROLL_BACK]
            else:
                assert epoch < 10 or curve(epoch - 10) > 0.5 * CHANCE


@pytest.mark.parametrize("chance_loss", [0.0, -1.0, math.inf, math.nan])
def test_a_chance_level_is_a_positive_number(chance_loss: float) -> None:
    with pytest.raises(ValueError, match="chance_loss must be > 0 and finite, or None, got"):
        LossMonitor(GovernorOptions(), chance_loss)


def test_plain_overfitting_is_not_suspect() -> None:
    def looked(is_grown: bool) -> list[HealthKind]:
        watch = LossMonitor(GovernorOptions(), CHANCE)
        losses = [(0.5, 0.5)] * 10 + [(6.0, 0.1), (7.0, 0.05), (8.0, 0.06)]
        judged = [
            watch.check(epoch, val_loss, train_loss, True, is_grown)
            for epoch, (val_loss, train_loss) in enumerate(losses, 1)
        ]
        return [verdict.kind for verdict in judged[10:]]

    assert looked(is_grown=False) == [CLEAN] * 3
    assert looked(is_grown=True) == [SUSPECT, ROLL_BACK, SUSPECT]


def test_what_comes_into_a_host_that_overfits_is_judged_beside_the_host_not_beside_chance() -> None:
    watch = LossMonitor(GovernorOptions(), CHANCE)
    for epoch in range(20):
        watch.check(epoch, 0.5 if epoch < 10 else 2.5, 0.1, True, False)
    assert watch.limit == 7.5
    assert [watch.check(20, loss, 0.1, True).kind for loss in (2.4, CHANCE, 7.6)] == [
        CLEAN, CLEAN, SUSPECT,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("train_loss", "kind"),
    [(0.6, CLEAN), (0.61, SUSPECT), (None, SUSPECT)],  # 1.2 times 0.5
)
def test_a_host_whose_training_suffers_too_does_not_overfit(
    train_loss: float | None, kind: HealthKind
) -> None:
    watch = LossMonitor(GovernorOptions(), CHANCE)
    for epoch in range(10):
        watch.check(epoch, 0.5, 0.5, True, False)
    resumed = LossMonitor(GovernorOptions(), CHANCE)
    resumed.load_state_dict(json.loads(json.dumps(watch.state_dict())))
    for each in (watch, resumed):
        assert each.check(10, 6.0, train_loss, True, False).kind is kind


def test_a_tiny_training_loss_may_swing_by_factors() -> None:
    watch = LossMonitor(GovernorOptions(), CHANCE)
    for epoch in range(10):
        watch.check(epoch, 0.5, 1e-6, True, False)
    assert watch.check(10, 6.0, 0.2, True, False).kind is CLEAN  # 0.1 of chance level
    assert watch.check(11, 6.0, 0.21, True, False).kind is SUSPECT
