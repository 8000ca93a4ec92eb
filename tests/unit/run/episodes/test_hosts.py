"""The hosts of growth tasks, and what damage does to a block."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from esper.contracts.slot import SlotKind
from esper.run.episodes.data import load
from esper.run.episodes.hosts import build_host
from esper.run.episodes.task import Damage, EpisodeTask, draw_task

KINDS = list(SlotKind)


def damaged(kind: SlotKind, damage: Damage | None) -> tuple[EpisodeTask, Any, Tensor]:
    """Return a task with a damaged block, the block, and inputs of it."""
    task = replace(draw_task(3, kind), hidden=(8,) * 6, residual=(True,) * 5 + (False,), place=5)
    task = replace(task, damage=damage)
    shape = {SlotKind.DENSE: (64, 16), SlotKind.FEATURE_MAP: (8, 8, 4, 4)}.get(kind, (64, 12, 16))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return task, build_host(task, 0).blocks[5], x


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def digest(num_tasks: int) -> str:
    """Return a digest of the first tasks, their data and their hosts."""
    found = hashlib.sha256()
    for index in range(num_tasks):
        task = draw_task(index)
        data, host = load(task), build_host(task, 1)
        found.update(repr(task).encode())
        for tensor in (data.train.x, data.train.y, data.test.x, *host.state_dict().values()):
            found.update(tensor.numpy().tobytes())
    return found.hexdigest()


def test_tasks_data_and_hosts_are_the_same_in_every_process() -> None:
    code = "from tests.unit.run.episodes.test_hosts import digest; print(digest(12))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == digest(12)


@pytest.mark.parametrize("start", range(0, 60, 20))
def test_every_task_has_data_that_its_host_can_read(start: int) -> None:
    for index in range(start, start + 20):
        task = draw_task(index)
        data, host = load(task), build_host(task, 0)
        assert len(host.blocks) == task.num_slots
        logits = host(data.train.x[:8])
        assert logits.shape == (8, task.classes)
        assert torch.isfinite(logits).all()
        assert logits.std(0).max() > 0, "the output depends on the input"


def test_a_host_depends_on_its_task_and_on_the_rng_seed_alone() -> None:
    task = draw_task(2)
    torch.manual_seed(5)
    one = build_host(task, 0)
    torch.manual_seed(6)
    assert same(one, build_host(task, 0))
    assert not same(one, build_host(task, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_weak_block_has_no_way_around_it_and_a_residual_one_has(kind: SlotKind) -> None:
    index = next(i for i in range(99) if draw_task(i, kind).place is not None)
    task = draw_task(index, kind)
    x = load(task).test.x[:16]
    for place, is_residual in enumerate(task.residual):
        host = build_host(task, 0)
        last: Any = host.blocks[place].last
        with torch.no_grad():
            last.weight.zero_()
            last.bias.zero_()
        is_constant = bool((host(x).std(0) < 1e-6).all())
        assert is_constant == (not is_residual)
    assert not task.residual[task.place or 0]


@pytest.mark.parametrize("kind", [SlotKind.DENSE, SlotKind.FEATURE_MAP])
def test_blocks_without_a_way_around_keep_the_variance(kind: SlotKind) -> None:
    task = replace(draw_task(3, kind), hidden=(12,) * 6, residual=(False,) * 6, place=None)
    host = build_host(replace(task, damage=None), 0)
    h = host.stem(load(task).test.x[:256])
    before = h.var().item()
    for block in host.blocks:
        h = block(h)
    assert before / 10 < h.var().item() < before * 10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", Damage)
def test_a_damaged_block_and_no_other_cannot_learn(kind: SlotKind, damage: Damage) -> None:
    task, _, _ = damaged(kind, damage)
    host = build_host(task, 0)
    for place, block in enumerate(host.blocks):
        learns = {parameter.requires_grad for parameter in block.parameters()}
        assert learns == {place != task.place}
    sound = build_host(replace(task, damage=None), 0)
    for place in range(5):
        assert same(host.blocks[place], sound.blocks[place])
    assert all(parameter.requires_grad for parameter in sound.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_one_unit_of_a_dead_block_is_alive(kind: SlotKind) -> None:
    def live_units(damage: Damage | None) -> int:
        _, block, x = damaged(kind, damage)
        units = gelu(block.first(block.norm(x) if kind is SlotKind.SEQUENCE else x))
        axis = 1 if kind is SlotKind.FEATURE_MAP else -1
        by_unit = units.movedim(axis, 0).flatten(1)
        assert len(by_unit) == 8
        return int((by_unit.std(1) > 1e-3).sum())

    assert (live_units(None), live_units(Damage.DEAD)) == (8, 1)
    _, block, x = damaged(kind, Damage.DEAD)
    assert block.last.weight.flatten(2 if kind is SlotKind.FEATURE_MAP else 1)[:, 1:].eq(0).all()
    assert block(x).std() > 0, "the one that lives still speaks"


@pytest.mark.parametrize("kind", KINDS)
def test_tiny_and_huge_weights_are_scaled_ones_and_frozen_weights_are_as_they_were(
    kind: SlotKind,
) -> None:
    _, sound, _ = damaged(kind, None)
    scales = {
        Damage.TINY: (0.02, 0.02, 0.02),
        Damage.HUGE: (8.0, 1.0, 1.0),
        Damage.FROZEN: (1.0, 1.0, 1.0),
    }
    for damage, (weight, bias, last) in scales.items():
        _, block, _ = damaged(kind, damage)
        torch.testing.assert_close(block.first.weight, weight * sound.first.weight)
        torch.testing.assert_close(block.first.bias, bias * sound.first.bias)
        torch.testing.assert_close(block.last.weight, last * sound.last.weight)
        torch.testing.assert_close(block.last.bias, last * sound.last.bias)
