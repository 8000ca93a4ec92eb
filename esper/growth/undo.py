"""Put a host back as it was before a plan that failed halfway."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from esper.growth import attach
from esper.growth.care import Care
from esper.growth.host import Host
from esper.growth.seed import Seed


@dataclass(frozen=True, slots=True)
class Before:
    """What one slot and the optimizer held: kernels and parameters themselves, not copies."""

    slot: str
    seeds: list[Seed]
    rests_until: int
    last_cull_epoch: int | None
    kernels: dict[int, tuple[nn.Module, float]]
    bank: dict[str, Any]
    care: Care | None
    groups: list[dict[str, Any]]
    state: dict[torch.Tensor, Any]
    num_deeds: int
    num_closed: int


def remember(host: Host, slot: str) -> Before:
    """Return what a plan for `slot` may change."""
    place = host.slots[slot]
    bank = attach.bank_of(place.module)
    kernels = {}
    if bank is not None:
        kernels = {int(key): (kernel, bank.alpha(int(key))) for key, kernel in bank.kernels.items()}
    return Before(
        slot=slot,
        seeds=copy.deepcopy(place.seeds),
        rests_until=place.rests_until,
        last_cull_epoch=place.last_cull_epoch,
        kernels=kernels,
        bank={} if bank is None else bank.bookkeeping(),
        care=None if bank is None else copy.deepcopy(bank.care),
        groups=list(host.optimizer.param_groups),
        state=dict(host.optimizer.state),
        num_deeds=len(host.journal),
        num_closed=len(host.closed),
    )


def restore(host: Host, before: Before) -> None:
    """Make the slot and the optimizer what they were."""
    place = host.slots[before.slot]
    bank = attach.bank_of(place.module)
    for key in list(bank.kernels) if bank is not None else []:
        attach.take_kernel(place.module, int(key))
    for seed, (kernel, alpha) in before.kernels.items():
        host.put_kernel(before.slot, seed, kernel)
        bank = attach.bank_of(place.module)
        assert bank is not None, "a kernel was just put in"
        bank.set_alpha(seed, alpha)
    if bank is not None and before.care is not None:
        bank.take_bookkeeping(before.bank)
        bank.care = before.care
    place.seeds = before.seeds
    place.rests_until, place.last_cull_epoch = before.rests_until, before.last_cull_epoch
    host.optimizer.param_groups[:] = before.groups
    host.optimizer.state.clear()
    host.optimizer.state.update(before.state)
    del host.journal[before.num_deeds :], host.closed[before.num_closed :]
