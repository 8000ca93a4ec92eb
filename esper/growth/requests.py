"""Requests for the kernels that a host holds, and for those that it may need next."""

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

from torch import nn

from esper.blueprint import catalogue
from esper.blueprint.base import Blueprint
from esper.contracts.slot import SlotSpec, SlotState
from esper.contracts.stage import SeedStage
from esper.growth.attach import bank_of
from esper.growth.host import Host
from esper.kernels.kernel import KernelError
from esper.kernels.request import Request, measured


def next_requests(host: Host, rng_seed: int) -> Iterator[Request]:
    """Yield the request of each dormant seed, except for blueprints that fail."""
    for seed in host.seeds():
        if seed.stage is SeedStage.DORMANT:
            with suppress(KernelError):
                yield host.request(seed.slot, seed.index, seed.bound, rng_seed)


def growable_states(host: Host, epoch: int) -> tuple[SlotState, ...]:
    """Return the state of every slot, with the cost of the cheapest kernel that it could get."""
    return tuple(replace(state, least_flops=_least_flops(state)) for state in host.states(epoch))


def _least_flops(state: SlotState) -> float:
    """Return the FLOPs of the cheapest kernel of a slot's dormant seeds, infinite without any."""
    bound = {seed.bound for seed in state.seeds if seed.stage is SeedStage.DORMANT}
    return min([_flops(state.spec, catalogue.get(name)) for name in bound], default=math.inf)


@lru_cache(maxsize=4096)
def _flops(spec: SlotSpec, recipe: Blueprint) -> float:
    """Return the FLOPs of a blueprint's kernels in a slot, infinite if it fails."""
    with suppress(KernelError):
        return float(measured(spec, 0, recipe.name)[1].flops)
    return math.inf


def held_kernels(host: Host, rng_seed: int) -> Iterator[tuple[Request, nn.Module]]:
    """Yield a request for each kernel of a host, with the kernel's module."""
    for seed in host.seeds():
        bank = bank_of(host.slots[seed.slot].module)
        if bank is not None and seed.current is not None:
            with suppress(KernelError):
                request = host.request(seed.slot, seed.index, seed.current.blueprint, rng_seed)
                yield request, bank.kernels[str(seed.index)]
