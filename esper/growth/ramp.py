"""Move alpha from its present value to its target: monotone, and exact at the end."""

import math
from collections.abc import Callable
from dataclasses import dataclass

SIGMOID_STEEPNESS = 10.0


def _sigmoid(t: float) -> float:
    """Return a logistic curve through (0, 0) and (1, 1)."""
    low = 1 / (1 + math.exp(SIGMOID_STEEPNESS / 2))
    value = 1 / (1 + math.exp(-SIGMOID_STEEPNESS * (t - 0.5)))
    return (value - low) / (1 - 2 * low)


SHAPES: dict[str, Callable[[float], float]] = {
    "linear": lambda t: t,
    "cosine": lambda t: (1 - math.cos(math.pi * t)) / 2,
    "sigmoid": _sigmoid,
}


@dataclass(slots=True)
class Ramp:
    """Course of alpha from `start` to `target` over `num_steps` training steps.

    step: steps taken so far.
    """

    shape: str
    start: float
    target: float
    num_steps: int
    step: int = 0

    @property
    def is_done(self) -> bool:
        """True when alpha has reached the target."""
        return self.step >= self.num_steps

    @property
    def alpha(self) -> float:
        """Alpha after `step` steps; exactly `target` at the end."""
        if self.is_done:
            return self.target
        risen = min(1.0, max(0.0, SHAPES[self.shape](self.step / self.num_steps)))
        alpha = self.start + (self.target - self.start) * risen
        # Rounding can push the sum past the target.
        return max(alpha, self.target) if self.target < self.start else min(alpha, self.target)
