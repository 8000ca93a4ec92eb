import json
import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.contracts.metrics import EpochMetrics
from esper.contracts.observation import CurvePoint
from esper.signals.curve import BIN, LossCurve


def epoch(number: int, **numbers: Any) -> EpochMetrics:
    return EpochMetrics(**({"epoch": number, "global_step": 4 * number, "val_loss": 9.0} | numbers))


def points(curve: LossCurve) -> list[tuple[float, float]]:
    return [(point.flops, point.loss) for point in curve.points]


def test_parts_lie_at_the_middle_of_their_flops_behind_the_untrained_loss() -> None:
    curve = LossCurve()
    # 4 steps of 4 FLOPs: the first step is at 2, the middles of two parts of 8 at 4 and 12.
    curve.add(epoch(1, part_losses=(2.0, 1.5), first_loss=2.5, train_flops=16.0), size=0)
    curve.add(epoch(2, part_losses=(1.2, 1.0), first_loss=1.3, train_flops=16.0), size=0)
    assert points(curve) == [(2, 2.5), (4, 2.0), (12, 1.5), (20, 1.2), (28, 1.0)]
    assert curve.source == "training"


def test_points_within_an_eighth_of_a_doubling_are_averaged() -> None:
    curve = LossCurve()
    curve.add(epoch(1, part_losses=(8.0,) * 8, train_flops=16.0), size=0)
    curve.add(epoch(2, part_losses=tuple(range(8)), train_flops=16.0), size=0)
    assert [flops for flops, _ in points(curve)[:8]] == [1, 3, 5, 7, 9, 11, 13, 15]
    # 25 / 23 and 29 / 27 are under 2 ** (1 / 8) = 1.0905, 23 / 21 = 1.0952 is not.
    assert points(curve)[8:] == [(17, 0), (19, 1), (21, 2), (24, 3.5), (28, 5.5), (31, 7)]
    assert curve.points[11] == CurvePoint(start=23.0, flops=24.0, loss=3.5, count=2)


def test_a_thousand_epochs_leave_eight_points_a_doubling() -> None:
    curve = LossCurve()
    for number in range(1, 1001):
        curve.add(epoch(number, part_losses=(1.0,) * 8), size=0)
    assert sum(point.count for point in curve.points) == 8000
    # 8,000 points span 13 doublings, of 8 bins at most.
    assert len(curve.points) <= 8 * 13 + 1
    starts = [point.start for point in curve.points]
    assert all(late >= BIN * early for early, late in pairwise(starts))


def test_another_size_starts_another_curve_and_counts_its_flops_from_nothing() -> None:
    curve = LossCurve()
    for number, size in ((1, 0), (2, 0), (3, 1), (4, 1), (5, 0)):
        curve.add(epoch(number, train_loss=float(number), train_flops=10.0), size)
        if number == 4:
            assert points(curve) == [(5, 3), (15, 4)]
    assert points(curve) == [(5, 5)]


def test_only_the_first_epoch_has_an_untrained_loss() -> None:
    curve = LossCurve()
    curve.add(epoch(1, train_loss=1.0, first_loss=math.nan), size=0)
    curve.add(epoch(2, train_loss=1.0, first_loss=5.0), size=1)
    assert points(curve) == [(0.5, 1.0)]


def test_without_training_losses_it_holds_validation_losses_at_the_end_of_epochs() -> None:
    curve = LossCurve()
    for number in (1, 2):
        curve.add(epoch(number, val_loss=4.0 - number, train_flops=10.0), size=0)
    assert points(curve) == [(10, 3), (20, 2)]
    assert curve.source == "validation"
    curve.add(epoch(3, val_loss=0.5, train_loss=0.4, train_flops=10.0), size=0)
    assert (points(curve), curve.source) == ([(25, 0.4)], "training")
    curve.add(epoch(4, val_loss=0.3, train_flops=10.0), size=0)
    assert points(curve) == [(25, 0.4)]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_left_out_and_its_flops_count(bad: float) -> None:
    curve = LossCurve()
    curve.add(epoch(1, part_losses=(2.0, bad), train_flops=8.0), size=0)
    curve.add(epoch(2, part_losses=(bad, bad), train_flops=8.0), size=0)
    curve.add(epoch(3, part_losses=(bad, 1.0), train_flops=8.0), size=0)
    assert points(curve) == [(2, 2.0), (22, 1.0)]


def test_an_epoch_without_flops_adds_nothing() -> None:
    curve = LossCurve()
    curve.add(epoch(1, train_loss=1.0, first_loss=2.0, train_flops=0.0), size=0)
    assert curve.points == ()


finite = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.lists(finite, max_size=8).map(tuple), min_size=1, max_size=12))
def test_any_losses_give_a_finite_curve_that_survives_a_save(
    losses: list[tuple[float, ...]],
) -> None:
    curve = LossCurve()
    for number, part_losses in enumerate(losses, start=1):
        curve.add(epoch(number, part_losses=part_losses), size=0)
    assert all(math.isfinite(point.loss) for point in curve.points)
    other = LossCurve()
    other.load_state_dict(json.loads(json.dumps(curve.state_dict(), allow_nan=False)))
    assert other == curve
