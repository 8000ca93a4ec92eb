"""What the first-order scores say of arms before their first trial.

The scores of two slots, or of two epochs, have no common scale, so that only the rank among the
kernels measured together counts: prior means are evenly spaced around 0.5, the higher the score the
higher, with the standard deviation that rewards have on the scale from 0 to 1.  So a rank and a
reward speak equally loud.  Equal scores share the mean of their ranks; a single arm has 0.5.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from esper.strategy.reward_scale import SPREAD

Key = TypeVar("Key")


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


def first_order_priors(scores: Mapping[Key, float], weight: float) -> dict[Key, Prior]:
    """Return the prior of each key of `scores`, worth `weight` trials."""
    ranked = sorted(scores.values())
    last = len(ranked) - 1
    # Evenly spaced numbers 0 to n have the standard deviation sqrt(n * (n + 2) / 12).
    step = SPREAD / math.sqrt(last * (last + 2) / 12) if last > 0 else 0.0
    return {
        key: Prior(
            score,
            0.5 + step * (bisect_left(ranked, score) + bisect_right(ranked, score) - 1 - last) / 2,
            weight,
        )
        for key, score in scores.items()
    }
