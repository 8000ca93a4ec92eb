"""Measure what a kernel costs by building it, for blueprints that do not declare it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from esper.blueprint.cost import Cost
from esper.blueprint.shapes import Shape
from esper.contracts.slot import SlotKind

if TYPE_CHECKING:
    from esper.blueprint.base import Build, CostRule


def measured(build: Build) -> CostRule:
    """Return a rule that builds the kernel and counts; it leaves torch's generators alone.

    Each shape is measured once: afterwards the rule may be asked from any thread.
    """

    @cache
    def cost(kind: SlotKind, in_shape: Shape, out_shape: Shape) -> Cost:
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        with torch.random.fork_rng(devices=[]), torch.no_grad():
            kernel = build(kind, in_shape, out_shape).eval()
            with FlopCounterMode(display=False) as counter:
                kernel(torch.zeros((1, *in_shape)))
        return Cost(
            parameters=sum(parameter.numel() for parameter in kernel.parameters()),
            flops=counter.get_total_flops(),
        )

    return cost
