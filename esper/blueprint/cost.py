"""Measure what a kernel costs before it is built.

FLOPs are those of one forward pass of one sample, two a multiply-add, of matrix products and
convolutions only: what `torch.utils.flop_counter.FlopCounterMode` counts.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from esper.blueprint.shapes import Shape
from esper.contracts.slot import SlotKind

if TYPE_CHECKING:
    from torch import nn

    from esper.blueprint.base import Blueprint

COPIES = 4
"""A trained weight is held four times over: itself, its gradient and two moments of Adam."""
BYTES = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """What one kernel costs.

    parameters: frozen ones included.
    trainable: those that learn.
    flops: forward FLOPs a sample.
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
    """Return the total memory of this machine in MiB, infinity where it cannot be read."""
    if not hasattr(os, "sysconf"):
        return math.inf
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20


def counts(module: nn.Module) -> tuple[int, int]:
    """Return the parameters of a module: all of them, and those that learn."""
    sizes = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return sum(n for n, _ in sizes), sum(n for n, learns in sizes if learns)


@lru_cache(maxsize=1024)
def measure(recipe: Blueprint, kind: SlotKind, in_shape: Shape, out_shape: Shape) -> Cost:
    """Return the cost of a kernel, measured without weights and without random draws.

    A blueprint that torch's meta device cannot run (it looks at values, or uses NumPy) is built on
    the CPU, and the global random generators are put back.  The FLOPs of a kernel that the
    machine's memory cannot hold are given as 0, because it is not run.

    Raises:
        Exception: whatever a user's blueprint raises.
    """
    try:
        return _measured(recipe, kind, in_shape, out_shape, device="meta")
    except (RuntimeError, TypeError, ValueError):
        return _measured(recipe, kind, in_shape, out_shape, device="cpu")


def _measured(
    recipe: Blueprint, kind: SlotKind, in_shape: Shape, out_shape: Shape, *, device: str
) -> Cost:
    import torch

    from esper.probe.flops import forward_flops
    from esper.probe.rng_state import RngState, restored

    with torch.device(device), torch.inference_mode(False), restored(RngState.now()):
        kernel = recipe.new_kernel(kind, in_shape, out_shape)
        cost = Cost(*counts(kernel), flops=0)
        if cost.memory_mb > machine_memory_mb():
            return cost
        flops = forward_flops(kernel, torch.zeros((1, *in_shape)))
    return replace(cost, flops=int(flops))
