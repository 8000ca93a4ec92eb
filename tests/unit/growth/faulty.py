"""Kernels that fail on demand: a linear layer whose forward or backward raises."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from esper.blueprint import catalogue
from esper.blueprint.base import Blueprint, sites
from esper.contracts.slot import Placement, SlotKind
from esper.growth.bank import KernelBank
from esper.growth.host import Host
from tests.unit.growth.builders import awaken, grow, kernel_of


@dataclass
class Trouble:
    """When and how the kernels of a blueprint, and their copies, fail.

    forward, backward: the errors to raise there.
    gives: maps the kernel's output to what it returns instead.
    calls: the calls, counted from 1, that fail; None is all of them.
    """

    forward: BaseException | None = None
    backward: BaseException | None = None
    gives: Callable[[Tensor], Any] | None = None
    calls: Collection[int] | None = None
    num_calls: int = 0

    def __deepcopy__(self, memo: Any) -> "Trouble":
        return self

    def heal(self) -> None:
        """Stop failing."""
        self.forward = self.backward = self.gives = None

    @property
    def is_due(self) -> bool:
        """True if the present call fails."""
        return self.calls is None or self.num_calls in self.calls


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, output: Tensor, error: BaseException) -> Tensor:
        ctx.error = error
        return output.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise ctx.error


class Faulty(nn.Module):
    """A linear layer that can fail."""

    def __init__(self, before: int, after: int, trouble: Trouble) -> None:
        super().__init__()
        self.linear = nn.Linear(before, after)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.trouble = trouble

    def forward(self, x: Tensor) -> Any:
        trouble = self.trouble
        trouble.num_calls += 1
        output = self.linear(x)
        if not trouble.is_due:
            return output
        if trouble.forward is not None:
            raise trouble.forward
        if trouble.backward is not None:
            return _Backward.apply(output, trouble.backward)
        return output if trouble.gives is None else trouble.gives(output)


@contextmanager
def offered(*names: str) -> Iterator[dict[str, Trouble]]:
    """Register blueprints of dense kernels; yield the trouble of each, none at first."""
    troubles = {name: Trouble() for name in names}

    def offer(name: str) -> None:
        catalogue.register(
            Blueprint(
                name=name,
                fits_in=sites([SlotKind.DENSE], Placement),
                risk=0.5,
                build=lambda _, before, after: Faulty(before[0], after[0], troubles[name]),
            )
        )

    for name in names:
        offer(name)
    try:
        yield troubles
    finally:
        for name in names:
            del catalogue._added[name]


def plant(host: Host, slot: str, seed: int, blueprint: str, *, alpha: float | None = 0.5) -> Any:
    """Germinate a seed, blend it unless `alpha` is None; return its kernel with random weights.

    Resets the count of calls, which includes those of the probe.
    """
    grow(host, slot, seed, blueprint)
    kernel = kernel_of(host, slot, seed)
    assert isinstance(kernel, Faulty)
    kernel.trouble.num_calls = 0
    awaken(kernel, rng_seed=seed + 1)
    if alpha is not None:
        host.blend(slot, seed, alpha, None, "a test wants it")
        host.steps.set_alpha(host.seed(slot, seed), alpha)
    return kernel


def bank_in(host: Host, slot: str) -> KernelBank:
    """Return the kernel bank of a slot."""
    bank = host.slots[slot].module.get_submodule("esper_kernels")
    assert isinstance(bank, KernelBank)
    return bank
