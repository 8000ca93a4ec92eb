"""Tell when a loss curve flattens, and when it jumps.

The slope of a curve is its fall for each doubling of the FLOPs spent at the present size,

    slope = -d L / d log2 FLOPs,

by least squares over its points in the last doubling.  It is the fall of the loss itself, not of
its logarithm: the training loss of a small convolutional network falls as a power of the FLOPs
until it has learnt its samples by heart, so the slope of the logarithm stays near its steepest and
never says that more training brings little.

A jump is a rise of the training loss in which the mean of three points exceeds twice the mean of
all before them, at least three, plus 0.1.  The data have drifted then.
"""

import math
import statistics
from collections.abc import Sequence

from esper.contracts.observation import CurvePoint

WINDOW = 2.0
"""Ratio of FLOPs that a slope is measured over."""

LEAST_POINTS = 4
"""A window with fewer points reaches further back; a curve with fewer has no slope."""

LEAST_STEEPEST = 0.07
"""No slope under this fraction of the first loss counts as the steepest, so that a network whose
loss hardly falls from the start is flat at once."""

_JUMP_POINTS, _JUMP_FACTOR, _JUMP_MARGIN = 3, 2.0, 0.1


def slopes(curve: Sequence[CurvePoint]) -> list[float]:
    """Return the slope at each point of a curve from the `LEAST_POINTS`-th on."""
    found = []
    for end in range(LEAST_POINTS, len(curve) + 1):
        start = end - LEAST_POINTS
        while start and curve[start - 1].flops * WINDOW >= curve[end - 1].flops:
            start -= 1
        found.append(_slope(curve[start:end]))
    return found


def steepest(curve: Sequence[CurvePoint]) -> float:
    """Return the steepest slope of a curve with at least `LEAST_POINTS` points."""
    return max(*slopes(curve), LEAST_STEEPEST * abs(curve[0].loss))


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


def _slope(points: Sequence[CurvePoint]) -> float:
    """Return the slope by least squares, each point weighted by its count."""
    weight = sum(point.count for point in points)
    xs = [math.log2(point.flops) for point in points]
    x_mean = sum(point.count * x for point, x in zip(points, xs, strict=True)) / weight
    loss_mean = sum(point.count * point.loss for point in points) / weight
    pairs = list(zip(points, xs, strict=True))
    covariance = sum(p.count * (x - x_mean) * (p.loss - loss_mean) for p, x in pairs)
    variance = sum(p.count * (x - x_mean) ** 2 for p, x in pairs)
    return -covariance / variance
