"""What the first-order scores say of arms before their first trial.

The scores of two slots, or of two epochs, have no common scale, so that only the rank among the
arms on offer counts: the prior mean is 1 for the highest score and 0 for the lowest, evenly spaced
between them; equal scores share the mean of their ranks, and a single arm has 0.5.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import NamedTuple


class Prior(NamedTuple):
    """The first-order score of an arm.

    score: as measured, None when it was not.
    mean: expected reward, in [0, 1].
    trials: number of trials that it is worth.
    """

    score: float | None = None
    mean: float = 0.5
    trials: float = 0.0


NO_PRIOR = Prior()


def first_order_priors(scores: Mapping[int, float], weight: float) -> dict[int, Prior]:
    """Return the prior of each seed, worth `weight` trials."""
    ranked = sorted(scores.values())
    twice_last = 2 * (len(ranked) - 1)
    return {
        seed: Prior(
            score,
            (bisect_left(ranked, score) + bisect_right(ranked, score) - 1) / twice_last
            if twice_last
            else 0.5,
            weight,
        )
        for seed, score in scores.items()
    }
