import math
from random import Random

import pytest

from esper.contracts.metrics import EpochMetrics
from esper.contracts.observation import CurvePoint
from esper.policy.rules.flatness import is_untrained, jump, slopes, steepest
from esper.signals.curve import LossCurve


def doublings(*losses: float) -> list[CurvePoint]:
    """Return a curve whose points lie at 1, 2, 4, ... FLOPs."""
    return [CurvePoint(2.0**k, 2.0**k, loss) for k, loss in enumerate(losses)]


def first_flat(curve: list[CurvePoint], share: float = 0.5) -> int | None:
    """Return the number of points after which the slope is first a share of the steepest."""
    ends = range(4, len(curve) + 1)
    found = (end for end in ends if slopes(curve[:end])[-1] <= share * steepest(curve[:end]))
    return next(found, None)


def test_a_straight_line_has_its_slope_everywhere() -> None:
    assert slopes(doublings(5.0, 4.0, 3.0, 2.0, 1.0)) == pytest.approx([1.0, 1.0])
    assert slopes(doublings(1.0, 2.0, 3.0, 4.0)) == pytest.approx([-1.0])
    assert slopes(doublings(5.0, 4.0, 3.0)) == []


def test_a_window_is_one_doubling_where_that_holds_four_points() -> None:
    # log2: 0, 1, 2, 2.25, 2.5, 2.75, 3.  The last window begins at 2, not at 1 or at 0.
    at = (0.0, 1.0, 2.0, 2.25, 2.5, 2.75, 3.0)
    losses = (90.0, 50.0, 4.0, 3.75, 3.5, 3.25, 3.0)
    curve = [CurvePoint(2.0**x, 2.0**x, loss) for x, loss in zip(at, losses, strict=True)]
    assert slopes(curve)[-1] == pytest.approx(1.0)


def test_a_window_reaches_back_until_it_holds_enough_losses() -> None:
    # Losses 5 4 3 2 2 2 at doublings: the slope over all six, with
    # x = -2.5 ... 2.5: sum of x y = -12.5 - 6 - 1.5 + 1 + 3 + 5 = -11, of squares 17.5.
    curve = doublings(5.0, 4.0, 3.0, 2.0, 2.0, 2.0)
    assert slopes(curve, 6) == pytest.approx([11 / 17.5])
    assert slopes(curve, 7) == []
    assert steepest(curve, 6) == pytest.approx(11 / 17.5)
    # A point that averages three losses counts as three.
    assert len(slopes([*curve[:3], CurvePoint(8.0, 8.0, 2.0, 3)], 6)) == 1


def test_a_point_counts_as_often_as_it_averages() -> None:
    # Points at log2 = 0, 1, 2, 3, the last of three losses 1: as x = (0, 1, 2, 3, 3, 3),
    # y = (4, 1, 1, 1, 1, 1): x_mean 2, sum of (x - 2) y = -8 - 1 + 0 + 3 = -6, of squares 8.
    curve = doublings(4.0, 1.0, 1.0, 1.0)
    heavy = [*curve[:3], CurvePoint(8.0, 8.0, 1.0, 3)]
    assert slopes(heavy) == pytest.approx([6 / 8])
    assert slopes(curve) == pytest.approx([4.5 / 5])


@pytest.mark.parametrize(("exponent", "points"), [(1.0, 5), (0.5, 6), (0.25, 8)])
def test_a_power_law_is_flat_once_its_slope_has_halved(exponent: float, points: int) -> None:
    # The slope of F ** -a falls by 2 ** -a a doubling: to 0.5 after 1 / a doublings.
    curve = doublings(*(8.0 * 2.0 ** (-exponent * k) for k in range(12)))
    assert first_flat(curve, share=0.5001) == points


def test_a_fall_that_stops_is_flat_when_the_window_has_left_it() -> None:
    # Over four points: 5 4 3 2 falls by 1, 4 3 2 2 by 3.5 / 5, 3 2 2 2 by 1.5 / 5.
    curve = doublings(5.0, 4.0, 3.0, 2.0, 2.0, 2.0)
    assert slopes(curve) == pytest.approx([1.0, 0.7, 0.3])
    assert first_flat(curve) == 6


def test_a_fall_that_speeds_up_is_never_flat() -> None:
    assert first_flat(doublings(8.0, 7.0, 5.5, 3.5, 1.0, -2.0, -5.5)) is None


def test_a_loss_that_hardly_falls_is_flat_at_once() -> None:
    # 7 % of the first loss is the least steepest slope: 0.07 and 0.035 are its edges.
    assert steepest(doublings(1.0, 0.98, 0.96, 0.94)) == pytest.approx(0.07)
    assert first_flat(doublings(1.0, 0.97, 0.94, 0.91)) == 4
    assert first_flat(doublings(1.0, 0.96, 0.92, 0.88)) is None


@pytest.mark.parametrize("level", [0.0, -3.0, 1e-300, 1e300])
def test_a_constant_loss_of_any_size_and_sign_is_flat(level: float) -> None:
    assert first_flat(doublings(*[level] * 4)) == 4


def test_the_unit_of_the_flops_does_not_matter() -> None:
    losses = (5.0, 4.0, 3.0, 2.0, 2.0, 2.0)
    scaled = [CurvePoint(1e9 * p.start, 1e9 * p.flops, p.loss) for p in doublings(*losses)]
    assert slopes(scaled) == pytest.approx(slopes(doublings(*losses)))


def flat_epochs(noise: float, rng_seed: int) -> list[int]:
    """Return the flat epochs of 24 of a curve that is steepest in epochs 1 to 3 and then levels."""
    rng, curve, found = Random(rng_seed), LossCurve(), []
    for number in range(1, 25):
        losses = []
        for part in range(8):
            epochs = number - 1 + (part + 0.5) / 8
            losses.append(0.3 + 2.0 / (1 + (epochs / 2) ** 2) + rng.gauss(0, noise))
        metrics = EpochMetrics(
            epoch=number, global_step=1, val_loss=1.0, part_losses=tuple(losses), first_loss=2.3
        )
        curve.add(metrics, size=0)
        if slopes(curve.points)[-1] <= 0.5 * steepest(curve.points):
            found.append(number)
    return found


def test_noise_moves_the_first_flat_epoch_by_little() -> None:
    # The slope of 1 / (1 + u ** 2) over log u is 2 u ** 2 / (1 + u ** 2) ** 2: largest at u = 1,
    # half of that at u = 2.41, epoch 4.8.  The middle of a doubling is there at epoch 6.8, and its
    # steepest mean slope is a little under the largest slope: epoch 8 is the first flat one.
    assert flat_epochs(0.0, 0) == list(range(8, 25))
    for rng_seed in range(20):
        noisy = flat_epochs(0.05, rng_seed)
        assert noisy == list(range(noisy[0], 25))
        assert 6 <= noisy[0] <= 8


@pytest.mark.parametrize(("first", "edge"), [(2.0, 1.94), (-2.0, -2.06)])
def test_a_loss_is_untrained_until_its_window_lies_three_percent_lower(
    first: float, edge: float
) -> None:
    start = (first + 1, first - 1, first + 0.5, first - 0.5)
    assert is_untrained(doublings(*start, *[edge + 0.01] * 4))
    assert not is_untrained(doublings(*start, *[edge - 0.01] * 4))


def test_a_curve_of_one_window_is_untrained() -> None:
    assert is_untrained(doublings(8.0, 4.0, 2.0, 1.0))


def test_a_jump_exceeds_twice_the_mean_before_it_and_a_tenth() -> None:
    quiet = (0.2,) * 8
    # The mean of the last three must exceed 2 * 0.2 + 0.1.
    assert jump([quiet, (0.5, 0.5, 0.5)]) is None
    found = jump([quiet, (0.51, 0.51, 0.51)])
    assert found == pytest.approx((0.51, 0.2))
    assert jump([quiet, (1.5, 0.2, 0.2)]) == pytest.approx((1.9 / 3, 0.2))


def test_a_jump_is_found_anywhere_in_the_last_epoch_and_only_there() -> None:
    quiet, drift = (0.2,) * 8, (0.2, 0.2, 2.0, 2.0, 2.0, 0.3, 0.2, 0.2)
    assert jump([quiet, drift]) is not None
    assert jump([quiet, drift, quiet, quiet]) is None
    across = [quiet, (*quiet[:6], 0.9, 0.9), (0.9, 0.2, 0.2)]
    assert jump(across) is not None


def test_a_jump_needs_three_losses_before_it() -> None:
    assert jump([]) is None
    assert jump([()]) is None
    assert jump([(0.1, 0.1, 3.0, 3.0, 3.0)]) is None
    assert jump([(0.1, 0.1, 0.1, 3.0, 3.0, 3.0)]) == pytest.approx((3.0, 0.1))
    assert jump([(0.1,)] * 3 + [(9.0,)]) is None


def test_an_epoch_without_losses_has_no_jump() -> None:
    assert jump([(0.1,) * 8, (5.0,) * 8, ()]) is None


def test_a_falling_loss_is_no_jump() -> None:
    losses = [tuple(2.3 * math.exp(-(8 * e + p) / 10) for p in range(8)) for e in range(10)]
    assert all(jump(losses[: end + 1]) is None for end in range(10))
