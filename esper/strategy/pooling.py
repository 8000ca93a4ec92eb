"""Shrink what a slot has seen of a blueprint towards what similar slots have.

Normal-normal model (Gelman and others, Bayesian Data Analysis, 3rd edition 2013, 5.4): a slot's
true mean is normal around the mean of its pool, with a variance 1 / POOL_WEIGHT of that of one
reward.  With n trials of its own and m of the other slots, the posterior mean is

    (n * own mean + w * others' mean) / (n + w),  w = POOL_WEIGHT * m / (POOL_WEIGHT + m)

where w is the number of own trials that the other slots are worth: almost m for few, and never
more than POOL_WEIGHT.
"""

from dataclasses import dataclass

POOL_WEIGHT = 4.0
"""Most trials that all similar slots together are worth."""


@dataclass(slots=True)
class Tally:
    """Number and sum of values."""

    count: int = 0
    total: float = 0.0

    def add(self, value: float) -> float | None:
        """Count one value; return by how much it raises the sum of squares around the mean.

        None for the first value, which has nothing to differ from.
        """
        step = value - self.total / self.count if self.count else None
        self.count += 1
        self.total += value
        return None if step is None else step * (value - self.total / self.count)


def pool_weight(num_others: int) -> float:
    """Return how many own trials `num_others` trials in similar slots are worth."""
    return POOL_WEIGHT * num_others / (POOL_WEIGHT + num_others)


def shrunk_mean(own: Tally, pool: Tally) -> float | None:
    """Return the posterior mean; None when nothing is known.  `pool` includes `own`."""
    if not pool.count:
        return None
    others = pool.count - own.count
    weight = pool_weight(others)
    shared = weight / others * (pool.total - own.total) if others else 0.0
    return (own.total + shared) / (own.count + weight)
