"""Points on spiral arms that wind around each other, generated.

Arm k of K, at t in (0, 1]: radius t, angle 2 pi (turns t + k / K), plus Gaussian noise on both
coordinates (Lang and Witbrock, "Learning to tell two spirals apart", 1988, with K arms).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from esper.contracts.data import DataSpec, InputKind
from esper.data.checks import check_batch_size, check_finite, check_fractions, check_split_seed

if TYPE_CHECKING:
    from esper.data.base import DataSet


@dataclass(frozen=True)
class Spirals:
    """Two features; a small net cannot bend its boundary often enough.

    batch_size: samples a training step.
    split_seed: fixes the points and which of them are held out, apart from `rng_seed`.
    num_samples: points in all, spread evenly over the arms.
    num_classes: arms.
    turns: how often an arm winds around the origin.
    noise: standard deviation of the coordinates, relative to a radius of 1.
    """

    batch_size: int = 32
    split_seed: int = 0
    val_fraction: float = 0.2
    test_fraction: float = 0.2
    num_samples: int = 1200
    num_classes: int = 3
    turns: float = 1.25
    noise: float = 0.03

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size)
        check_split_seed(self.split_seed)
        check_fractions(self.val_fraction, self.test_fraction)
        check_finite("turns", self.turns)
        check_finite("noise", self.noise)
        if not self.num_classes >= 2:
            raise ValueError(f"data.num_classes must be >= 2, got {self.num_classes}")
        if not self.num_samples >= self.num_classes:
            raise ValueError(
                f"data.num_samples must be >= data.num_classes={self.num_classes}, "
                f"got {self.num_samples}"
            )

    def load(self) -> "DataSet":
        """Return the points, of mean 0 and deviation 1 over the training points."""
        import torch

        from esper.data.splits import Shares, standardised

        labels = [i % self.num_classes for i in range(self.num_samples)]
        x = torch.tensor(self._points(labels), dtype=torch.float32)
        shares = Shares(
            val_fraction=self.val_fraction,
            test_fraction=self.test_fraction,
            split_seed=self.split_seed,
        )
        spec = DataSpec(kind=InputKind.VECTOR, input_shape=(2,), num_classes=self.num_classes)
        return standardised(spec, x, torch.tensor(labels), shares)

    def _points(self, labels: Sequence[int]) -> list[tuple[float, float]]:
        random = Random(self.split_seed)
        points = []
        for label in labels:
            t = 1.0 - random.random()
            angle = 2 * math.pi * (self.turns * t + label / self.num_classes)
            x, y = t * math.cos(angle), t * math.sin(angle)
            points.append((x + random.gauss(0, self.noise), y + random.gauss(0, self.noise)))
        return points
