"""Ridge regression of rewards on the context of their germination.

The normal equations of ridge regression are theta = A^-1 b, with A = RIDGE * I + sum x x^T and
b = sum x r.  A^-1 is kept up to date by the formula of Sherman and Morrison (1950), so that neither
a trial nor a prediction solves them.  Rewards are kept as they came, because their scale moves.

The context of a germination is x = (1, loss / (1 + loss), 1 + log10(learning rate) / 6, share of
the epochs that are over), each in [0, 1].  A strategy that reads health adds what the run, the slot
and the kernel say of the gain, each less its neutral value 0.5; a context without them has 0 there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import mul

from esper.contracts.ledger import NEUTRAL, RUN_CONTEXT
from esper.contracts.observation import Observation

RIDGE = 1.0
"""Weight of the prior, which expects the same reward in every context."""

_DECADES = 6.0


def context_of(observation: Observation, learning_rate: float) -> tuple[float, ...]:
    """Return the context of a germination now; `learning_rate` is the host's.

    A loss that is not finite counts as an infinite one.
    """
    loss = observation.metrics.val_loss
    relative = max(loss, 0.0) / (1 + max(loss, 0.0)) if math.isfinite(loss) else 1.0
    rate = 1 + math.log10(learning_rate) / _DECADES if learning_rate > 0 else 0.0
    share = observation.epoch / observation.epochs
    return (1.0, *(min(1.0, max(0.0, value)) for value in (relative, rate, share)))


def _prior_inverse() -> list[list[float]]:
    return [
        [1 / RIDGE if row == column else 0.0 for column in range(RUN_CONTEXT)]
        for row in range(RUN_CONTEXT)
    ]


def _zeros() -> list[float]:
    return [0.0] * RUN_CONTEXT


@dataclass(slots=True)
class Regression:
    """Sufficient statistics of one pool, each trial times its weight; constant memory.

    inverse: A^-1, as many rows and columns as the longest context so far has numbers.
    contexts: sum of the contexts.
    rewarded: sum of the contexts, each times its raw reward.
    """

    inverse: list[list[float]] = field(default_factory=_prior_inverse)
    contexts: list[float] = field(default_factory=_zeros)
    rewarded: list[float] = field(default_factory=_zeros)

    def add(self, context: Sequence[float], reward: float, weight: float = 1.0) -> None:
        """Count one trial; a negative weight takes a counted one back."""
        context = self._fitted(context)
        turned, variance = self._turned(context)
        scale = weight / (1 + weight * variance)
        self.inverse = [
            [value - own * other * scale for value, other in zip(row, turned, strict=True)]
            for row, own in zip(self.inverse, turned, strict=True)
        ]
        self.contexts = [
            total + weight * x for total, x in zip(self.contexts, context, strict=True)
        ]
        self.rewarded = [
            total + weight * x * reward for total, x in zip(self.rewarded, context, strict=True)
        ]

    def predict(self, context: Sequence[float]) -> tuple[float, float, float]:
        """Return (u, v, variance): rewards slope * r + offset give slope * u + offset * v.

        The variance is that of the prediction, relative to that of one reward.
        """
        context = self._fitted(context)
        turned, variance = self._turned(context)
        return sum(map(mul, turned, self.rewarded)), sum(map(mul, turned, self.contexts)), variance

    def _fitted(self, context: Sequence[float]) -> Sequence[float]:
        """Return a context of this size; one that is longer makes this larger.

        What no context has had before is known by the prior alone.
        """
        while len(context) > (size := len(self.contexts)):
            self.inverse = [*([*row, 0.0] for row in self.inverse), [*[0.0] * size, 1 / RIDGE]]
            self.contexts, self.rewarded = [*self.contexts, 0.0], [*self.rewarded, 0.0]
        said = [number - NEUTRAL for number in context[RUN_CONTEXT:]]
        return (*context[:RUN_CONTEXT], *said, *(0.0,) * (len(self.contexts) - len(context)))

    def _turned(self, context: Sequence[float]) -> tuple[list[float], float]:
        """Return A^-1 x, and x^T A^-1 x."""
        turned = [sum(map(mul, row, context)) for row in self.inverse]
        return turned, sum(map(mul, turned, context))
