"""Generated points on spiral arms that wind around each other.

Arm k of K, at t in (0, 1]: radius t, angle 2 pi (turns t + k / K), plus Gaussian noise on both
coordinates (Lang and Witbrock, "Learning to tell two spirals apart", 1988, with K arms).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from esper.contracts.checks import require
from esper.contracts.data import DataSpec, InputKind
from esper.data.options import LabelledOptions

if TYPE_CHECKING:
    from esper.data.base import DataSet


@dataclass(frozen=True)
class Spirals(LabelledOptions):
    """Points of two features; the boundary between the arms is hard for a small net.

    split_seed: determines the points too.
    num_samples: number of points, distributed evenly over the arms.
    num_classes: number of arms.
    turns: turns of an arm around the origin.
    noise: standard deviation of the coordinates, relative to a radius of 1.
    """

    num_samples: int = 1200
    num_classes: int = 3
    turns: float = 1.25
    noise: float = 0.03

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("turns", "noise"):
            value = getattr(self, key)
            require(0 <= value < math.inf, f"data.{key}", ">= 0 and finite", value)
        classes, samples = self.num_classes, self.num_samples
        require(classes >= 2, "data.num_classes", ">= 2", classes)
        require(samples >= classes, "data.num_samples", f">= data.num_classes={classes}", samples)

    def load(self) -> "DataSet":
        """Return the points, scaled to mean 0 and deviation 1 of the training points."""
        import torch

        from esper.data.splits import standardised

        labels = [i % self.num_classes for i in range(self.num_samples)]
        x = torch.tensor(self._points(labels), dtype=torch.float32)
        spec = DataSpec(kind=InputKind.VECTOR, input_shape=(2,), num_classes=self.num_classes)
        return standardised(spec, x, torch.tensor(labels), self)

    def _points(self, labels: Sequence[int]) -> list[tuple[float, float]]:
        random = Random(self.split_seed)
        points = []
        for label in labels:
            t = 1.0 - random.random()
            angle = 2 * math.pi * (self.turns * t + label / self.num_classes)
            x, y = t * math.cos(angle), t * math.sin(angle)
            points.append((x + random.gauss(0, self.noise), y + random.gauss(0, self.noise)))
        return points
