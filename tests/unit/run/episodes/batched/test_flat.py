"""Flat copies of weights."""

import pytest
import torch

from esper.blueprint import catalogue
from esper.contracts.slot import SlotKind
from esper.run.episodes.batched.flat import (
    BLUEPRINTS,
    HOST_SIZES,
    KERNEL_SIZES,
    block_range,
    host_pieces,
    pack_host,
    pack_kernel,
    unpack,
    unpack_kernel,
)
from esper.run.episodes.hosts import build_host
from tests.unit.run.episodes.small_tasks import small_task


def test_a_host_comes_back_from_its_flat_copy() -> None:
    host, other = build_host(small_task(), 0), build_host(small_task(), 1)
    flat = pack_host(host)
    unpack(host_pieces(other), flat)
    assert len(flat) == sum(HOST_SIZES)
    assert all(map(torch.equal, host.parameters(), other.parameters()))
    assert int((flat != 0).sum()) == sum(int((p != 0).sum()) for p in host.parameters())


def test_a_block_has_its_part_of_the_flat_copy() -> None:
    host = build_host(small_task(), 0)
    before = pack_host(host)
    with torch.no_grad():
        for parameter in host.blocks[2].parameters():
            parameter.add_(1.0)
    start, end = block_range(2)
    changed = torch.nonzero(pack_host(host) != before).flatten()
    assert start <= int(changed.min())
    assert int(changed.max()) == end - 1


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_a_kernel_comes_back_from_its_flat_copy(name: str) -> None:
    kernel, other = (catalogue.get(name).new_kernel(SlotKind.DENSE, (16,), (16,)) for _ in range(2))
    with torch.no_grad():
        for parameter in kernel.parameters():
            parameter.normal_()
    flat = pack_kernel(kernel, name)
    unpack_kernel(other, name, flat)
    assert len(flat) == sum(KERNEL_SIZES)
    assert all(map(torch.equal, kernel.parameters(), other.parameters()))
    assert int((flat != 0).sum()) == sum(p.numel() for p in kernel.parameters())
