"""Steps of AdamW for the rows of a tensor, each with a learning rate of its own.

Torch's fused step on views of the rows, so that the numbers are those of `AdamW(fused=True)`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8
TINY = 1e-6
"""Added to a norm that divides, as torch does when it clips."""


class AdamRows:
    """Weights (R, P) that AdamW changes in place, with their moments and gradients.

    grads: (R, P), clipped; filled by `take`.
    steps: number of steps of each row, (R,).

    Args:
        weights, first, second, steps: see above.
        weight_decay: decoupled, relative to the learning rate.
        frozen: by row, the start and end of a part that does not learn.
    """

    def __init__(
        self,
        weights: Tensor,
        first: Tensor,
        second: Tensor,
        steps: Tensor,
        *,
        weight_decay: float = 0.0,
        frozen: Mapping[int, tuple[int, int]] | None = None,
    ) -> None:
        self.weights, self.first, self.second, self.steps = weights, first, second, steps
        self.grads = torch.zeros_like(weights)
        self.weight_decay, self.frozen = weight_decay, frozen or {}
        tensors = (weights, self.grads, first, second)
        views = list(zip(*(each.unbind() for each in tensors), steps.unbind(), strict=True))
        self._parts = [[row] for row in views]
        for row, (start, end) in self.frozen.items():
            *whole, step = views[row]
            ranges = ((0, start), (end, weights.shape[1]))
            self._parts[row] = [(*(each[a:b] for each in whole), step) for a, b in ranges]

    def take(self, grads: Tensor, max_norm: float) -> Tensor:
        """Clip the gradients of each row to a norm; return the clipped norms (R,)."""
        for row, (start, end) in self.frozen.items():
            grads[row, start:end] = 0.0
        norms: Tensor = torch.linalg.vector_norm(grads, dim=1)
        factors = (max_norm / (norms + TINY)).clamp(max=1.0)
        torch.mul(grads, factors[:, None], out=self.grads)
        return norms * factors

    def step(self, rates: Mapping[float, list[int]]) -> None:
        """Take a step of the rows listed for each learning rate; a row is in at most one list."""
        for rate, rows in rates.items():
            self.steps[rows] += 1
            weights, grads, first, second, steps = zip(
                *(part for row in rows for part in self._parts[row]), strict=True
            )
            torch._fused_adamw_(
                weights,
                grads,
                first,
                second,
                [],
                steps,
                lr=rate,
                beta1=BETAS[0],
                beta2=BETAS[1],
                weight_decay=self.weight_decay,
                eps=EPSILON,
                amsgrad=False,
                maximize=False,
            )
