"""Requests for the kernels that a host holds, and for those that it may need next."""

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from torch import nn

from esper.blueprint import catalogue
from esper.contracts.slot import SeedState, SlotState
from esper.contracts.stage import SeedStage
from esper.growth.attach import bank_of
from esper.growth.host import Host
from esper.kernels.kernel import KernelError
from esper.kernels.request import Request, recipe_of


def next_requests(host: Host, rng_seed: int) -> Iterator[Request]:
    """Yield the request of each dormant seed, except for blueprints that fail."""
    for seed in host.seeds():
        if seed.stage is SeedStage.DORMANT:
            with suppress(KernelError):
                yield host.request(seed.slot, seed.index, seed.bound, rng_seed)


def growable_states(host: Host, epoch: int) -> tuple[SlotState, ...]:
    """Return the state of every slot.

    It has the cost of the cheapest kernel that the slot could get, and the risks of blueprints.
    """
    cheapest: dict[str, float] = {}
    for seed in host.seeds():
        if seed.stage is SeedStage.DORMANT:
            with suppress(KernelError):
                _, cost = recipe_of(host.slots[seed.slot].spec, seed.index, seed.bound)
                cheapest[seed.slot] = min(cheapest.get(seed.slot, math.inf), cost.flops)
    return tuple(
        replace(
            state,
            least_flops=cheapest.get(state.spec.name, math.inf),
            seeds=tuple(map(_with_risk, state.seeds)),
        )
        for state in host.states(epoch)
    )


def _with_risk(seed: SeedState) -> SeedState:
    risk = catalogue.risk_of(seed.bound)
    return seed if risk == seed.risk else replace(seed, risk=risk)


def held_kernels(host: Host, rng_seed: int) -> Iterator[tuple[Request, nn.Module]]:
    """Yield a request for each kernel of a host, with the kernel's module."""
    for seed in host.seeds():
        bank = bank_of(host.slots[seed.slot].module)
        if bank is not None and seed.current is not None:
            with suppress(KernelError):
                request = host.request(seed.slot, seed.index, seed.current.blueprint, rng_seed)
                yield request, bank.kernels[str(seed.index)]
