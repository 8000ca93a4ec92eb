"""Tell when a loss curve flattens, and when it jumps.

The slope of a curve is its fall for each doubling of the FLOPs spent at the present size,

    slope = -d L / d log2 FLOPs,

by least squares over its points in the last doubling, but over at least two epochs, because the
parts of an epoch hold different samples and only whole epochs can be compared.  It is the fall of
the loss itself, not of its logarithm: the training loss of a small convolutional network falls as a
power of the FLOPs until it has learnt its samples by heart, so the slope of the logarithm stays
near its steepest and never says that more training brings little.

A jump is a rise of the training loss in which the mean of three points exceeds twice the mean of
all before them, at least three, plus 0.1.  The data have drifted then.
"""

import math
import statistics
from collections.abc import Sequence
from itertools import accumulate

from esper.contracts.observation import CurvePoint

WINDOW = 2.0
"""Ratio of FLOPs that a slope is measured over."""

LEAST_POINTS = 4
"""A window with fewer points reaches further back; a curve with fewer has no slope."""

LEAST_STEEPEST = 0.07
"""No slope under this fraction of the first loss counts as the steepest, so that a network whose
loss hardly falls from the start is flat at once."""

LEAST_FALL = 0.03
"""Fraction of the mean of the first points; while the loss has fallen by less, it may still be on
the plateau at which training starts."""

_JUMP_POINTS, _JUMP_FACTOR, _JUMP_MARGIN = 3, 2.0, 0.1


def slopes(curve: Sequence[CurvePoint], least: int = 1) -> list[float]:
    """Return the slope at each point of a curve that has enough before it.

    Args:
        curve: the points, each the mean of `count` losses.
        least: number of losses that a window holds at least; it has `LEAST_POINTS` points too.
    """
    counts = accumulate(point.count for point in curve)
    ends = [end for end, count in enumerate(counts, 1) if end >= LEAST_POINTS and count >= least]
    return [_slope(_window(curve[:end], least)) for end in ends]


def steepest(curve: Sequence[CurvePoint], least: int = 1) -> float:
    """Return the steepest of the slopes of a curve that has one."""
    return max(*slopes(curve, least), LEAST_STEEPEST * abs(curve[0].loss))


def is_untrained(curve: Sequence[CurvePoint]) -> bool:
    """Return whether the loss of a first curve has hardly fallen since its first points."""
    first = _mean_loss(curve[:LEAST_POINTS])
    return first - _mean_loss(_window(curve)) < LEAST_FALL * abs(first)


def jump(part_losses: Sequence[Sequence[float]]) -> tuple[float, float] | None:
    """Return the mean of a jump and the mean before it, None without a jump in the last epoch.

    Args:
        part_losses: finite losses of the parts of each of the last epochs.
    """
    losses = [loss for epoch in part_losses for loss in epoch]
    new = len(part_losses[-1]) if part_losses else 0
    first = max(len(losses) - new + 1, 2 * _JUMP_POINTS)
    for end in range(first, len(losses) + 1):
        start = end - _JUMP_POINTS
        recent, before = statistics.fmean(losses[start:end]), statistics.fmean(losses[:start])
        if recent > _JUMP_FACTOR * before + _JUMP_MARGIN:
            return recent, before
    return None


def _window(curve: Sequence[CurvePoint], least: int = 1) -> Sequence[CurvePoint]:
    """Return the points of the last doubling, at least `LEAST_POINTS` and `least` losses."""
    start = len(curve) - LEAST_POINTS
    count = sum(point.count for point in curve[start:])
    while start and (count < least or curve[start - 1].flops * WINDOW >= curve[-1].flops):
        start -= 1
        count += curve[start].count
    return curve[start:]


def _mean_loss(points: Sequence[CurvePoint]) -> float:
    weight = sum(point.count for point in points)
    return sum(point.count / weight * point.loss for point in points)


def _slope(points: Sequence[CurvePoint]) -> float:
    """Return the slope by least squares, each point weighted by its count."""
    weight = sum(point.count for point in points)
    pairs = [(point, math.log2(point.flops)) for point in points]
    x_mean = sum(point.count / weight * x for point, x in pairs)
    loss_mean = _mean_loss(points)
    covariance = sum(point.count * (x - x_mean) * (point.loss - loss_mean) for point, x in pairs)
    return -covariance / sum(point.count * (x - x_mean) ** 2 for point, x in pairs)
