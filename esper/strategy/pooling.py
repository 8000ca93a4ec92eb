"""Shrink what a slot has seen of a blueprint towards what similar slots have.

Normal-normal model (Gelman and others, Bayesian Data Analysis, 3rd edition 2013, 5.4): a slot's
true mean is normal around the mean of its pool, with a variance 1 / POOL_WEIGHT of that of one
reward.  With n trials of its own and m of the other slots, the posterior mean is

    (n * own mean + w * others' mean) / (n + w),  w = POOL_WEIGHT * m / (POOL_WEIGHT + m)

where w is the number of own trials that the other slots are worth: almost m for few, and never
more than POOL_WEIGHT.
"""

from dataclasses import dataclass

POOL_WEIGHT = 1.0
"""Most trials that all similar slots together are worth (`python -m experiments.weights`)."""

NOTHING = 1e-9
"""Weight below which values count as none: the rest that rounding leaves of a difference."""


@dataclass(slots=True)
class Tally:
    """Number and sum of values, each times its weight."""

    count: float = 0.0
    total: float = 0.0

    def add(self, value: float, weight: float = 1.0) -> float | None:
        """Count one value; return by how much it raises the sum of squares around the mean.

        None if it has nothing to differ from.  A negative weight takes a counted value back.  The
        formula is that of West (1979) for weighted values.
        """
        step = value - self.total / self.count if self.count else None
        self.count += weight
        self.total += weight * value
        if self.count <= NOTHING:
            self.count = self.total = 0.0
        if step is None or not self.count:
            return None
        return weight * step * (value - self.total / self.count)

    def add_all(self, other: "Tally") -> None:
        """Count the values of another tally."""
        self.count += other.count
        self.total += other.total


def pool_weight(num_others: float) -> float:
    """Return how many own trials `num_others` trials in similar slots are worth."""
    return POOL_WEIGHT * num_others / (POOL_WEIGHT + num_others)


def shrunk_mean(own: Tally, pool: Tally) -> float | None:
    """Return the posterior mean; None when nothing is known.  `pool` includes `own`."""
    if not pool.count:
        return None
    others = pool.count - own.count
    if others <= NOTHING:
        return own.total / own.count
    weight = pool_weight(others)
    return (own.total + weight / others * (pool.total - own.total)) / (own.count + weight)
