"""What kernels cost, as formulas.

FLOPs are those of one forward pass of one sample, two a multiply-add, of matrix products and
convolutions only: what `torch.utils.flop_counter.FlopCounterMode` counts.
"""

from __future__ import annotations

from dataclasses import dataclass

COPIES = 4
"""A trained weight is held four times over: itself, its gradient and two moments of Adam."""
BYTES = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """Parameters, frozen ones included, and forward FLOPs a sample."""

    parameters: int = 0
    flops: int = 0

    def __add__(self, other: Cost) -> Cost:
        """Return the cost of both."""
        return Cost(self.parameters + other.parameters, self.flops + other.flops)


def linear(num_in: int, num_out: int, *, positions: int = 1, bias: bool = True) -> Cost:
    """Return the cost of a linear map or 1x1 convolution applied at so many positions."""
    weights = num_in * num_out
    return Cost(weights + (num_out if bias else 0), 2 * positions * weights)


def convolution(
    num_in: int, num_out: int, *, area: int, positions: int, groups: int = 1, bias: bool = True
) -> Cost:
    """Return the cost of a convolution.

    Args:
        num_in: channels read.
        num_out: channels written.
        area: places under the window, 9 for 3x3.
        positions: places of the output.
        groups: as in `torch.nn.Conv2d`.
        bias: whether it has one.
    """
    weights = num_in // groups * num_out * area
    return Cost(weights + (num_out if bias else 0), 2 * positions * weights)


def norm(num_features: int) -> Cost:
    """Return the cost of a normalisation with gain and bias."""
    return Cost(2 * num_features, 0)


def kernel_memory_mb(parameters: int, trainable: int) -> float:
    """Return the memory of a kernel's weights, gradients and moments in MiB."""
    return (parameters + trainable * (COPIES - 1)) * BYTES / 2**20
