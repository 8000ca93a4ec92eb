"""Keep the loss of a network over the FLOPs of its training at its present size.

Points whose FLOPs are within a factor of `BIN` of each other are averaged, so a curve over k
doublings of the FLOPs holds at most 8 k points after its first ones, and later points, of which
there are more, are less noisy.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from esper.contracts.metrics import EpochMetrics
from esper.contracts.observation import CurvePoint

BIN = 2 ** (1 / 8)
"""Width of a bin, as a ratio of FLOPs."""


@dataclass
class LossCurve:
    """The curve, and what is needed to extend it.

    points: in order of their FLOPs.
    source: `training`, or `validation` until a training loss is known.
    size: number of fossilized seeds; a change starts a new curve.
    flops: FLOPs of training at this size.
    """

    points: tuple[CurvePoint, ...] = ()
    source: str = "validation"
    size: int = 0
    flops: float = 0.0

    def add(self, metrics: EpochMetrics, size: int) -> None:
        """Add an epoch that trained a network with `size` fossilized seeds.

        Losses that are not finite are left out.  Without training losses an epoch adds its
        validation loss, unless training losses were known earlier.  The loss of the first step of
        a run, before any update, is the first point.
        """
        if size != self.size:
            self.size, self.flops, self.points = size, 0.0, ()
        losses = parts(metrics)
        if self.source == "validation" and any(map(math.isfinite, losses)):
            self.source, self.points = "training", ()
        if self.source == "validation":
            self._append([(1.0, metrics.val_loss)], metrics.train_flops)
        else:
            if metrics.epoch == 1 and metrics.first_loss is not None:
                middle = 0.5 / max(1, metrics.global_step)
                self._append([(middle, metrics.first_loss)], metrics.train_flops)
            shares = [(part + 0.5) / len(losses) for part in range(len(losses))]
            self._append(zip(shares, losses, strict=True), metrics.train_flops)
        self.flops += metrics.train_flops

    def state_dict(self) -> dict[str, Any]:
        """Return the state, ready for JSON."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        vars(self).update(state)
        self.points = tuple(CurvePoint(**point) for point in state["points"])

    def _append(self, losses: Iterable[tuple[float, float]], train_flops: float) -> None:
        """Append losses, each with the share of the epoch's FLOPs after which it was measured."""
        points = list(self.points)
        for share, loss in losses:
            flops = self.flops + share * train_flops
            if flops > 0 and math.isfinite(loss):
                point = CurvePoint(start=flops, flops=flops, loss=loss)
                if points and point.start < BIN * points[-1].start:
                    point = _mean(points.pop(), point)
                points.append(point)
        self.points = tuple(points)


def parts(metrics: EpochMetrics) -> tuple[float, ...]:
    """Return the training losses of an epoch's parts; its mean loss if only that is known."""
    if metrics.part_losses or metrics.train_loss is None:
        return metrics.part_losses
    return (metrics.train_loss,)


def _mean(bin_: CurvePoint, point: CurvePoint) -> CurvePoint:
    """Return a bin with one more point."""
    count = bin_.count + 1
    return CurvePoint(
        start=bin_.start,
        flops=bin_.flops + (point.flops - bin_.flops) / count,
        loss=bin_.loss * (1 - 1 / count) + point.loss / count,
        count=count,
    )
