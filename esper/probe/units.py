"""Measure how the units of a layer vary, and what a linear map of its input predicts.

    effective rank = (sum_i l_i)^2 / sum_i l_i^2 / U        l_i: eigenvalues of the covariance
    linear share   = 1 - |Y' - X' W|^2 / |Y'|^2             W = (X^T X + p I)^-1 X^T Y
                     p = `PENALTY` * mean diagonal of X^T X

X, Y are inputs and targets of one half of the rows, X', Y' those of the other; each half predicts
the other once, and the share is the mean of both.  X has a column of ones.

Shapes: ... any leading dimensions, S rows, U units, D features.  Each function returns
numbers of shape (...), NaN where nothing can be measured.
"""

import torch
from torch import Tensor

DEAD = 0.02
"""Standard deviation under which a unit counts as dead."""

PENALTY = 0.1
_NOISE = 1e-6
"""Spread relative to the size of the values that rounding alone can cause."""


def dead_units(values_SU: Tensor) -> Tensor:
    """Return the share of units whose standard deviation is under `DEAD`, in [0, 1]."""
    return (_deviations(values_SU) < DEAD).float().mean(dim=-1)


def effective_rank(values_SU: Tensor) -> Tensor:
    """Return the participation ratio of the covariance, relative to the units, in [0, 1].

    It is 0 if no unit varies, 1 / U if all vary together, and 1 if all vary alike and by
    themselves.
    """
    centred = values_SU - values_SU.mean(dim=-2, keepdim=True)
    spread = centred.norm(dim=(-2, -1), keepdim=True)
    size = values_SU.norm(dim=(-2, -1))
    # Of trace 1, so that squares neither overflow nor vanish.
    scaled = centred / spread
    covariance = scaled.mT @ scaled
    ratio = 1 / covariance.square().sum(dim=(-2, -1)) / values_SU.shape[-1]
    return torch.where(spread[..., 0, 0] <= _NOISE * size, torch.zeros_like(ratio), ratio)


def correlation(values_SU: Tensor) -> Tensor:
    """Return the mean absolute correlation of two units that are not dead, in [0, 1]."""
    deviations = _deviations(values_SU)
    live = deviations >= DEAD
    scale = torch.where(live, deviations, torch.inf)
    scaled = (values_SU - values_SU.mean(dim=-2, keepdim=True)) / scale[..., None, :]
    size = (scaled.mT @ scaled / values_SU.shape[-2]).abs()
    num = live.sum(dim=-1)
    total = size.sum(dim=(-2, -1)) - size.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    return (total / (num * (num - 1))).clamp(0.0, 1.0)


def linear_share(inputs_SD: Tensor, targets_SD: Tensor) -> Tensor:
    """Return the share of the targets that ridge regression on the inputs predicts, in [-1, 1].

    Args:
        inputs_SD: rows of both halves (..., 2, S, D).
        targets_SD: their targets, of any scale; as many rows.
    """
    # So that squares neither overflow nor vanish.
    targets = targets_SD / targets_SD.abs().amax(dim=(-3, -2, -1), keepdim=True)
    inputs = torch.cat([inputs_SD, torch.ones_like(inputs_SD[..., :1])], dim=-1)
    gram = inputs.mT @ inputs
    penalty = PENALTY * gram.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    ridge = gram + penalty[..., None, None] * identity
    # Unlike `solve`, it does not raise where values are not finite.
    weights, _ = torch.linalg.solve_ex(ridge, inputs.mT @ targets)
    error = targets.flip(-3) - inputs.flip(-3) @ weights
    missed = error.square().sum(dim=(-2, -1)) / targets.flip(-3).square().sum(dim=(-2, -1))
    share: Tensor = (1 - missed.mean(dim=-1)).clamp(-1.0, 1.0)
    return share


def _deviations(values_SU: Tensor) -> Tensor:
    return values_SU.std(dim=-2, correction=0)
