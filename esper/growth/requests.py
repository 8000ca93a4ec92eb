"""Requests for the kernels that a host holds, and for those that it may need next."""

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from torch import nn

from esper.contracts.slot import SlotState
from esper.contracts.stage import SeedStage
from esper.growth.attach import bank_of
from esper.growth.host import Host
from esper.growth.slot import Slot
from esper.kernels.kernel import KernelError
from esper.kernels.request import Request, recipe_of


def next_requests(host: Host, rng_seed: int) -> Iterator[Request]:
    """Yield the request of each dormant seed, except for blueprints that fail."""
    for seed in host.seeds():
        if seed.stage is SeedStage.DORMANT:
            with suppress(KernelError):
                yield host.request(seed.slot, seed.index, seed.bound, rng_seed)


def growable_states(host: Host, epoch: int) -> tuple[SlotState, ...]:
    """Return the state of every slot, with the cost of the cheapest kernel that it could get."""
    flops = host.settled_flops
    known: dict[tuple[Any, ...], float] = {}
    return tuple(
        slot.state(epoch, flops, _least_flops(slot, known)) for slot in host.slots.values()
    )


def _least_flops(slot: Slot, known: dict[tuple[Any, ...], float]) -> float:
    """Return the FLOPs of the cheapest kernel of a slot's dormant seeds, infinite without any.

    `known` are those of blueprints by kind, placement and shapes of a slot; new ones are added.
    """
    spec, least = slot.spec, math.inf
    for name in {seed.bound for seed in slot.seeds if seed.stage is SeedStage.DORMANT}:
        key = (spec.kind, spec.placement, spec.in_shape, spec.out_shape, name)
        if key not in known:
            known[key] = math.inf
            with suppress(KernelError):
                known[key] = float(recipe_of(spec, 0, name)[1].flops)
        least = min(least, known[key])
    return least


def held_kernels(host: Host, rng_seed: int) -> Iterator[tuple[Request, nn.Module]]:
    """Yield a request for each kernel of a host, with the kernel's module."""
    for seed in host.seeds():
        bank = bank_of(host.slots[seed.slot].module)
        if bank is not None and seed.current is not None:
            with suppress(KernelError):
                request = host.request(seed.slot, seed.index, seed.current.blueprint, rng_seed)
                yield request, bank.kernels[str(seed.index)]
