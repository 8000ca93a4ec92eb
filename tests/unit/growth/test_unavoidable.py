"""Slots that all data pass, in hosts that one can draw."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from esper.growth.data_flow import data_flow
from esper.run.episodes.hosts import build_host
from esper.run.episodes.task import draw_task

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


class Blocks(nn.Module):
    """Linear layers `a`, `b` and `c` of width 4, joined by the function of a test."""

    def __init__(self, forward: Callable[["Blocks", Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(4, 4) for _ in range(3))
        self.join = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.join(self, x)


def residual_chain(m: Blocks, x: Tensor) -> Tensor:
    for block in (m.a, m.b, m.c):
        x = x + block(x)
    return x


def residual_first(m: Blocks, x: Tensor) -> Tensor:
    return m.c(m.b(x + m.a(x)))


def residual_middle(m: Blocks, x: Tensor) -> Tensor:
    x = m.a(x)
    return m.c(x + m.b(x))


def two_branches(m: Blocks, x: Tensor) -> Tensor:
    return m.c(m.a(x) + m.b(x))


def branch_past_two(m: Blocks, x: Tensor) -> Tensor:
    x = m.a(x)
    return x + m.c(m.b(x))


def called_again_in_a_branch(m: Blocks, x: Tensor) -> Tensor:
    x = m.b(m.a(x))
    return x + m.c(m.a(x))


def called_twice(m: Blocks, x: Tensor) -> Tensor:
    # The calls of `a` are one place, so that a path leads from the input past `b` to `c`.
    return m.c(m.a(m.b(m.a(x))))


def constant_branch(m: Blocks, x: Tensor) -> Tensor:
    # What does not come from the input is no way around a slot.
    return m.c(m.b(x) + m.a(torch.ones(3, 4)))


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (lambda m, x: m.c(m.b(m.a(x))), "abc"),
        (residual_chain, ""),
        (residual_first, "bc"),
        (residual_middle, "ac"),
        (two_branches, "c"),
        (branch_past_two, "a"),
        (called_twice, "ac"),
        (called_again_in_a_branch, "a"),
        (constant_branch, "bc"),
    ],
)
def test_a_slot_is_unavoidable_if_no_data_pass_by_it(
    forward: Callable[[Blocks, Tensor], Tensor], expected: str
) -> None:
    assert data_flow(Blocks(forward), X, list("abc")).unavoidable == tuple(expected)


def test_kernels_of_a_block_pass_by_the_slots_in_it() -> None:
    inner = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model = nn.Sequential(nn.Linear(4, 4), inner)
    assert data_flow(model, X, ["0", "1", "1.0"]).unavoidable == ("0", "1")


@pytest.mark.parametrize("index", range(3))
def test_a_block_of_a_growth_task_is_unavoidable_unless_it_is_residual(index: int) -> None:
    task = draw_task(index)
    host = build_host(task, 0)
    shapes = {"dense": (2, 32), "feature_map": (2, 1, 8, 8)}
    x = torch.randn(shapes[task.kind]) if task.kind in shapes else torch.zeros(2, 12).long()
    slots = [f"blocks.{place}" for place in range(task.num_slots)]
    alone = [slot for slot, around in zip(slots, task.residual, strict=True) if not around]
    assert data_flow(host, x, slots).unavoidable == tuple(alone)
