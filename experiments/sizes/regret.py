"""What each way of choosing a size ends with at a budget, and its regret to the oracle size.

The oracle is the fixed size with the best mean test accuracy over all seeds at that budget, which
nobody knows beforehand.  Regret is in points of test accuracy, paired by rng seed.

    sweep     every size gets an equal share of the budget, and the best by validation is kept
    halving   successive halving that is told the budget: five sizes, then three, then one, a third
              of the budget in each round (Jamieson and Talwalkar 2016)
    random    the mean over the sizes
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ROUNDS = (5, 3, 1)
"""Sizes that take part in each round of halving."""
GUESSED = "random size"


class Fixed:
    """Curves of the fixed sizes of a task, for the same rng seeds."""

    def __init__(self, curves: Mapping[float, Mapping[str, Any]]) -> None:
        self.curves = dict(curves)
        self.unit = float(next(iter(curves.values()))["unit"])

    def hits(self, factor: float, budget: float) -> Array:
        """Return the test accuracy of a size at a budget, for each seed."""
        return self._at(factor, budget, "hits")

    def losses(self, factor: float, budget: float) -> Array:
        """Return the validation loss of a size at a budget, for each seed."""
        return self._at(factor, budget, "losses")

    def _at(self, factor: float, budget: float, name: str) -> Array:
        curve = self.curves[factor]
        place = bisect_right(curve["flops"], budget * self.unit) - 1
        if place >= 0:
            return np.asarray(curve[name][place], dtype=np.float64)
        # Not one epoch was paid: such a network guesses.
        worst = np.inf if name == "losses" else 0.0
        return np.full(len(curve[name][0]), worst)

    def oracle(self, budget: float) -> float:
        """Return the size with the best mean test accuracy."""
        return max(self.curves, key=lambda factor: float(self.hits(factor, budget).mean()))

    def sweep(self, budget: float) -> Array:
        """Return the test accuracy of the best of all sizes with equal shares of a budget."""
        return self._best(list(self.curves), budget / len(self.curves))

    def halving(self, budget: float) -> Array:
        """Return the test accuracy of the last size of successive halving."""
        return np.array([self._halved(budget, seed) for seed in range(self.num_seeds)])

    @property
    def num_seeds(self) -> int:
        """Number of rng seeds."""
        return len(next(iter(self.curves.values()))["hits"][0])

    def _halved(self, budget: float, seed: int) -> float:
        left, spent = list(self.curves), 0.0
        for number in ROUNDS:
            left = sorted(left, key=lambda factor: self.losses(factor, spent)[seed])[:number]
            spent += budget / len(ROUNDS) / number
        return float(self.hits(left[0], spent)[seed])

    def _best(self, factors: Sequence[float], budget: float) -> Array:
        losses = np.stack([self.losses(factor, budget) for factor in factors])
        hits = np.stack([self.hits(factor, budget) for factor in factors])
        chosen: Array = np.take_along_axis(hits, losses.argmin(0)[None], 0)[0]
        return chosen


def arms(
    fixed: Fixed, grown: Mapping[str, Mapping[float, Array]], budget: float
) -> dict[str, Array]:
    """Return the test accuracy of every arm at a budget, for each seed.

    Args:
        fixed: the fixed sizes.
        grown: by the name of an arm and the budget, for each seed.
        budget: in units.
    """
    sizes = {f"size x{factor:g}": fixed.hits(factor, budget) for factor in fixed.curves}
    return {
        **{name: own[budget] for name, own in grown.items()},
        **sizes,
        GUESSED: np.mean(list(sizes.values()), axis=0),
        "sweep": fixed.sweep(budget),
        "halving, told the budget": fixed.halving(budget),
    }


def regret_at_equal_time(
    fixed: Fixed, pace: Mapping[float, float], hits: Array, seconds: Array
) -> Array:
    """Return the regret in points to the best size at equal processor time, for each seed.

    Args:
        fixed: the fixed sizes.
        pace: by size, processor seconds a FLOP.
        hits: test accuracy of an arm, for each seed.
        seconds: processor seconds of that arm, for each seed.
    """

    def at_equal_time(factor: float) -> Array:
        budgets = seconds / pace[factor] / fixed.unit
        return np.array([fixed.hits(factor, each)[seed] for seed, each in enumerate(budgets)])

    best = max(map(at_equal_time, fixed.curves), key=lambda own: float(own.mean()))
    return 100 * (best - hits)


def regrets(
    fixed: Fixed, grown: Mapping[str, Mapping[float, Array]], budget: float
) -> dict[str, Array]:
    """Return the regret of every arm at a budget in points, for each seed."""
    best = fixed.hits(fixed.oracle(budget), budget)
    return {name: 100 * (best - own) for name, own in arms(fixed, grown, budget).items()}
