"""Requests for the kernels that a host holds, and for those that it may need next."""

from collections.abc import Iterator
from contextlib import suppress

from torch import nn

from esper.contracts.stage import SeedStage
from esper.growth.attach import bank_of
from esper.growth.host import Host
from esper.kernels.kernel import KernelError
from esper.kernels.request import Request


def next_requests(host: Host, rng_seed: int) -> Iterator[Request]:
    """Yield the request of each dormant seed, except for blueprints that fail."""
    for seed in host.seeds():
        if seed.stage is SeedStage.DORMANT:
            with suppress(KernelError):
                yield host.request(seed.slot, seed.index, seed.bound, rng_seed)


def held_kernels(host: Host, rng_seed: int) -> Iterator[tuple[Request, nn.Module]]:
    """Yield a request for each kernel of a host, with the kernel's module."""
    for seed in host.seeds():
        bank = bank_of(host.slots[seed.slot].module)
        if bank is not None and seed.current is not None:
            with suppress(KernelError):
                request = host.request(seed.slot, seed.index, seed.current.blueprint, rng_seed)
                yield request, bank.kernels[str(seed.index)]
