"""Scale features to [-1, 1] by fixed constants, so that a feature means the same in every run.

    scaled = clip((f(raw) - centre) / spread, -1, 1),    f(x) = log(1 + x) or x

Quantities with a good and a bad end have the good end at 1.  `UNKNOWN` lies beyond the bad end, so
a learner that extrapolates never takes unknown for healthy.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

UNKNOWN = -1.5
"""The scaled value of an unknown quantity; outside the range of known ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The scale of one column.

    spread: distance from the centre to +1; negative if less is better.
    takes_log: True for quantities >= 0 that span orders of magnitude.
    """

    centre: float
    spread: float
    takes_log: bool = False

    def __call__(self, raw: float) -> float:
        """Return the scaled value of a known quantity."""
        value = math.log1p(max(0.0, raw)) if self.takes_log else raw
        return max(-1.0, min(1.0, (value - self.centre) / self.spread))


class Column(IntEnum):
    """A column of features, defined by its scale; its value is its index, from 0."""

    scale: Scale

    def __new__(cls, scale: Scale) -> Self:
        """Return the next column, with its scale."""
        index = len(cls.__members__)
        column = int.__new__(cls, index)
        column._value_ = index
        column.scale = scale
        return column


def scaled(row: Sequence[float], columns: Iterable[Column]) -> list[float]:
    """Return raw values scaled to [-1, 1], with `UNKNOWN` for NaN.

    Raises:
        ValueError: if there is not one value for each column.
    """
    pairs = zip(row, columns, strict=True)
    return [UNKNOWN if math.isnan(raw) else column.scale(raw) for raw, column in pairs]


def scaled_rows(rows_NC: Sequence[Sequence[float]], columns: Iterable[Column]) -> Floats:
    """Return many rows scaled as by `scaled`, as an array (N, C), in a fraction of the time.

    Raises:
        ValueError: if a row does not have one value for each column.
    """
    scales = [column.scale for column in columns]
    raw_NC = np.array(rows_NC, dtype=np.float64).reshape(len(rows_NC), len(scales))
    centre_C = np.array([scale.centre for scale in scales])
    spread_C = np.array([scale.spread for scale in scales])
    takes_log_C = np.array([scale.takes_log for scale in scales])
    value_NC = np.where(takes_log_C, np.log1p(raw_NC.clip(min=0.0)), raw_NC)
    known_NC = ((value_NC - centre_C) / spread_C).clip(-1.0, 1.0)
    return np.where(np.isnan(raw_NC), UNKNOWN, known_NC).astype(np.float32)


def share() -> Scale:
    """Return the scale of a fraction: 0 becomes -1, and 1 becomes 1."""
    return Scale(centre=0.5, spread=0.5)


def count(largest: int) -> Scale:
    """Return the scale of a count by its logarithm: 0 becomes -1, `largest` becomes 1."""
    half = math.log1p(largest) / 2
    return Scale(centre=half, spread=half, takes_log=True)


def loss() -> Scale:
    """Return the scale of a cross-entropy by its logarithm: 0 becomes 1, 10 becomes -1."""
    half = math.log1p(10) / 2
    return Scale(centre=half, spread=-half, takes_log=True)


def change(largest: float) -> Scale:
    """Return the scale of a signed change: `largest` becomes 1; negative if less is better."""
    return Scale(centre=0.0, spread=largest)
