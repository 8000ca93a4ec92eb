import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.contracts.metrics import EpochMetrics
from esper.contracts.observation import Observation
from esper.contracts.stage import SeedStage
from esper.signals.options import Signals
from esper.signals.tracker import SignalTracker
from tests.unit.policy.builders import make_seed, make_slot


def observe(tracker: SignalTracker, epoch: int, **numbers: Any) -> Observation:
    metrics = EpochMetrics(epoch=epoch, global_step=epoch, **({"val_loss": 1.0} | numbers))
    return tracker.update(metrics, (make_slot(),), epochs=40, may_grow=True)


def test_deltas_are_now_minus_an_epoch_ago() -> None:
    tracker = SignalTracker(Signals())
    first = observe(tracker, 1, val_loss=2.0, val_accuracy=0.5)
    second = observe(tracker, 2, val_loss=1.5, val_accuracy=0.7)
    assert (first.loss_delta, first.accuracy_delta) == (None, None)
    assert second.loss_delta == -0.5
    assert second.accuracy_delta == pytest.approx(0.2)


def test_best_values_stay_when_the_run_gets_worse() -> None:
    tracker = SignalTracker(Signals())
    observe(tracker, 1, val_loss=0.5, val_accuracy=0.9)
    worse = observe(tracker, 2, val_loss=0.8, val_accuracy=0.7)
    assert (worse.best_val_loss, worse.best_val_accuracy) == (0.5, 0.9)


def test_histories_hold_the_last_epochs_and_no_more() -> None:
    tracker = SignalTracker(Signals(history_window=3))
    for epoch in range(1, 6):
        seen = observe(tracker, epoch, val_loss=float(epoch), train_loss=epoch / 10)
    assert seen.val_losses == (3.0, 4.0, 5.0)
    assert seen.train_losses == (0.3, 0.4, 0.5)
    assert seen.val_accuracies == (None, None, None)


def test_half_a_point_of_accuracy_an_epoch_is_the_edge_of_a_plateau() -> None:
    slow, fast = SignalTracker(Signals()), SignalTracker(Signals())
    for epoch in range(1, 6):
        crawling = observe(slow, epoch, val_accuracy=0.5 + 0.004 * epoch)
        walking = observe(fast, epoch, val_accuracy=0.5 + 0.006 * epoch)
    assert crawling.plateau_epochs == 4
    assert walking.plateau_epochs == 0


def test_without_accuracy_the_relative_fall_of_the_loss_counts() -> None:
    slow, fast = SignalTracker(Signals()), SignalTracker(Signals())
    for epoch in range(1, 6):
        crawling = observe(slow, epoch, val_loss=4.0 * 0.996**epoch)
        walking = observe(fast, epoch, val_loss=0.04 * 0.99**epoch)
    assert crawling.plateau_epochs == 4
    assert walking.plateau_epochs == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_unknown_and_never_best(bad: float) -> None:
    tracker = SignalTracker(Signals())
    observe(tracker, 1, val_loss=0.5, train_loss=0.4)
    broken = observe(tracker, 2, val_loss=bad, train_loss=bad)
    after = observe(tracker, 3, val_loss=0.6)
    assert broken.best_val_loss == after.best_val_loss == 0.5
    assert broken.loss_delta is None
    assert after.loss_delta is None
    assert broken.train_losses == (0.4, None)
    assert math.isnan(broken.val_losses[-1])
    assert broken.plateau_epochs == 0


def test_a_first_epoch_that_is_not_finite_has_no_best_value() -> None:
    seen = observe(SignalTracker(Signals()), 1, val_loss=math.nan, val_accuracy=math.nan)
    assert (seen.best_val_loss, seen.best_val_accuracy) == (None, None)


def test_a_loss_that_stays_at_zero_is_a_plateau_and_no_division_by_zero() -> None:
    tracker = SignalTracker(Signals())
    assert [observe(tracker, e, val_loss=0.0).plateau_epochs for e in (1, 2, 3)] == [0, 1, 2]


def test_one_jump_from_almost_zero_does_not_drown_all_that_follows() -> None:
    tracker = SignalTracker(Signals(plateau_smoothing=0.5))
    for epoch, loss in enumerate((1e-300, 1.0, 0.5, 0.25, 0.12), start=1):
        seen = observe(tracker, epoch, val_loss=loss)
    assert seen.plateau_epochs == 0


def test_the_curve_starts_anew_when_a_seed_is_fossilized() -> None:
    tracker = SignalTracker(Signals())
    kept = make_slot(seeds=(make_seed(SeedStage.FOSSILIZED),))
    live = make_slot(seeds=(make_seed(SeedStage.BLENDING),))
    flops = []
    for epoch, slot in enumerate((make_slot(), live, kept, kept), start=1):
        metrics = EpochMetrics(
            epoch=epoch, global_step=epoch, val_loss=1.0, part_losses=(2.0, 1.0), train_flops=8.0
        )
        seen = tracker.update(metrics, (slot,), epochs=40, may_grow=True)
        flops.append([point.flops for point in seen.curve])
    assert flops == [[2, 6], [2, 6, 10, 14], [2, 6], [2, 6, 10, 14]]
    assert seen.curve_source == "training"


def test_parts_of_the_last_epochs_are_kept_without_what_is_not_finite() -> None:
    tracker = SignalTracker(Signals(history_window=3))
    observe(tracker, 1, part_losses=(9.0,))
    observe(tracker, 2, part_losses=(2.0, math.nan, 1.0))
    observe(tracker, 3)
    seen = observe(tracker, 4, train_loss=0.5)
    assert seen.part_losses == ((2.0, 1.0), (), (0.5,))


def test_live_seeds_have_windows() -> None:
    tracker = SignalTracker(Signals())
    slot = make_slot(seeds=(make_seed(), make_seed(SeedStage.SHADOWING, gain=0.04)))
    metrics = EpochMetrics(epoch=1, global_step=1, val_loss=1.0)
    seen = tracker.update(metrics, (slot,), epochs=40, may_grow=True)
    assert [(window.seed, window.gains) for window in seen.seed_windows] == [(1, (0.04,))]


losses = st.floats(0, 10) | st.sampled_from([math.nan, math.inf])
accuracies = st.none() | st.floats(0, 1) | st.just(math.nan)


@given(st.lists(st.tuples(losses, accuracies), min_size=2, max_size=15), st.data())
def test_a_saved_tracker_goes_on_as_if_nothing_had_happened(
    epochs: list[tuple[float, float | None]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, len(epochs) - 1))
    tracker, resumed = SignalTracker(Signals()), SignalTracker(Signals())
    for epoch, (loss, accuracy) in enumerate(epochs, start=1):
        if epoch == cut + 1:
            resumed.load_state_dict(json.loads(json.dumps(tracker.state_dict(), allow_nan=False)))
        numbers: dict[str, Any] = {"val_loss": loss, "val_accuracy": accuracy}
        if epoch % 2:
            numbers["part_losses"] = (loss, 1.0)
        whole = observe(tracker, epoch, **numbers)
        if epoch > cut:
            again = observe(resumed, epoch, **numbers)
            # NaN stands among the losses, and repr compares it as equal.
            assert repr(again) == repr(whole)
