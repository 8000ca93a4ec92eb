"""The forward pass of many hosts at once."""

from dataclasses import replace

import torch
from torch.nn.functional import cross_entropy

from esper.run.episodes.batched.flat import pack_host
from esper.run.episodes.batched.network import Shapes, logits, sample_losses
from esper.run.episodes.hosts import build_host
from esper.run.episodes.task import draw_task
from tests.unit.run.episodes.small_tasks import small_task

TASKS = [
    replace(small_task(1), hidden=(3, 12, 8, 5, 9, 7, 8), residual=(True,) * 3 + (False,) * 4),
    replace(small_task(2), classes=7),
    small_task(3),
]


def test_each_row_is_the_network_of_its_task() -> None:
    hosts = [build_host(task, 5) for task in TASKS]
    x = torch.randn(3, 20, 32, generator=torch.Generator().manual_seed(0))
    y = torch.randint(4, (3, 20), generator=torch.Generator().manual_seed(1))
    out = logits(torch.stack([pack_host(host) for host in hosts]), x, Shapes.of(TASKS), {})
    losses = sample_losses(out, y)
    for row, (host, task) in enumerate(zip(hosts, TASKS, strict=True)):
        alone = host(x[row])
        torch.testing.assert_close(out[row, :, : task.classes], alone, rtol=1e-5, atol=1e-5)
        assert torch.all(out[row, :, task.classes :] == -torch.inf)
        expected = cross_entropy(alone, y[row], reduction="none")
        torch.testing.assert_close(losses[row], expected, rtol=1e-5, atol=1e-5)


def test_the_family_has_no_larger_host() -> None:
    tasks = [draw_task(index, TASKS[0].kind) for index in range(200)]
    assert max(task.num_slots for task in tasks) == 12
    assert max(max(task.hidden) for task in tasks) == 12
    assert max(task.classes for task in tasks) == 10
