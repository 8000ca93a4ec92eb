"""Measure the cost of a kernel before it is built.

FLOPs are those that `torch.utils.flop_counter.FlopCounterMode` counts in a forward pass of one
sample: matrix products and convolutions, two for a multiply-add.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from esper.blueprint.shapes import Shape
from esper.contracts.slot import SlotKind

if TYPE_CHECKING:
    from torch import nn

NewKernel = Callable[[SlotKind, Shape, Shape], "nn.Module"]
"""Builds a kernel for a kind, an input and an output shape."""

COPIES = 4
"""Numbers kept for a trained weight: itself, its gradient and two moments of Adam."""
BYTES = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one kernel.

    parameters: frozen ones included.
    trainable: trainable ones only.
    flops: forward FLOPs for one sample.
    """

    parameters: int
    trainable: int
    flops: int

    @property
    def memory_mb(self) -> float:
        """MiB of weights, gradients and moments."""
        return kernel_memory_mb(self.parameters, self.trainable)


def kernel_memory_mb(parameters: int, trainable: int) -> float:
    """Return the memory of a kernel's weights, gradients and moments in MiB."""
    return (parameters + trainable * (COPIES - 1)) * BYTES / 2**20


@cache
def machine_memory_mb() -> float:
    """Return the total memory of this machine in MiB, infinity if it is not available."""
    if not hasattr(os, "sysconf"):
        return math.inf
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20


def counts(module: "nn.Module") -> tuple[int, int]:
    """Return the number of a module's parameters, and of its trainable ones."""
    parameters = list(module.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


@lru_cache(maxsize=1024)
def measure(new_kernel: NewKernel, kind: SlotKind, in_shape: Shape, out_shape: Shape) -> Cost:
    """Return the cost of a kernel, measured on torch's meta device; draws no random numbers.

    If a kernel cannot run there (it reads values, or uses NumPy), it is built on the CPU and the
    global random generators are restored.  A kernel that does not fit into the machine's memory is
    not run; its FLOPs are given as 0.

    Raises:
        Exception: whatever a user's blueprint raises.
    """
    try:
        return _measured(new_kernel, kind, in_shape, out_shape, device="meta")
    except (RuntimeError, TypeError, ValueError):
        return _measured(new_kernel, kind, in_shape, out_shape, device="cpu")


def _measured(
    new_kernel: NewKernel, kind: SlotKind, in_shape: Shape, out_shape: Shape, *, device: str
) -> Cost:
    import torch

    from esper.probe.flops import forward_flops
    from esper.probe.rng_state import RngState, restored

    with torch.device(device), torch.inference_mode(False), restored(RngState.now()):
        kernel = new_kernel(kind, in_shape, out_shape)
        cost = Cost(*counts(kernel), flops=0)
        if cost.memory_mb > machine_memory_mb():
            return cost
        flops = forward_flops(kernel, torch.zeros((1, *in_shape)))
    return replace(cost, flops=int(flops))
