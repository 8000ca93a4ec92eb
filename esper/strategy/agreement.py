"""How well expected gains agree with measured ones."""

import math
from dataclasses import dataclass

LEAST_PAIRS = 3
"""Pairs that a correlation needs; any two points lie on a line."""


@dataclass(slots=True)
class Agreement:
    """Sums over pairs of an expected and a measured gain.

    pairs: number of pairs in which both are known.
    """

    pairs: int = 0
    expected: float = 0.0
    measured: float = 0.0
    expected_squared: float = 0.0
    measured_squared: float = 0.0
    product: float = 0.0

    def add(self, expected: float | None, measured: float | None) -> None:
        """Count a pair; one with an unknown or infinite value does not count."""
        if expected is None or measured is None or not math.isfinite(expected + measured):
            return
        self.pairs += 1
        self.expected += expected
        self.measured += measured
        self.expected_squared += expected**2
        self.measured_squared += measured**2
        self.product += expected * measured

    @property
    def correlation(self) -> float | None:
        """Pearson's, in [-1, 1]; None under `LEAST_PAIRS` pairs or if one side is constant."""
        n = self.pairs
        if n < LEAST_PAIRS:
            return None
        expected = n * self.expected_squared - self.expected**2
        measured = n * self.measured_squared - self.measured**2
        # Below this share of the squares a difference is rounding.
        if expected <= 1e-9 * n * self.expected_squared:
            return None
        if measured <= 1e-9 * n * self.measured_squared:
            return None
        shared = n * self.product - self.expected * self.measured
        return max(-1.0, min(1.0, shared / math.sqrt(expected * measured)))
