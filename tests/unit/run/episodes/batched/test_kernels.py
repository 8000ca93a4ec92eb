"""Kernels in a pass."""

import torch

from esper.blueprint import catalogue
from esper.contracts.slot import SlotKind
from esper.run.episodes.batched.flat import BLUEPRINTS, pack_kernel, unpack_kernel
from esper.run.episodes.batched.kernels import Gates, KernelKey, KernelPool, Placed

KEYS = sorted(
    [
        KernelKey(place=0, blueprint=number, row=number % 3, seed=0, activation=1)
        for number in range(len(BLUEPRINTS))
    ]
    + [KernelKey(place=2, blueprint=3, row=1, seed=1, activation=1)]
)


def new_kernel(key: KernelKey) -> torch.nn.Module:
    kernel = catalogue.get(BLUEPRINTS[key.blueprint]).new_kernel(SlotKind.DENSE, (16,), (16,))
    with torch.no_grad():
        for parameter in kernel.parameters():
            parameter.normal_(std=0.3)
    return kernel


def ones() -> torch.Tensor:
    return torch.ones(len(KEYS), 1, 1)


def test_each_kernel_adds_its_output_times_alpha_to_its_own_row() -> None:
    torch.manual_seed(0)
    kernels = [new_kernel(key) for key in KEYS]
    flat = torch.stack(
        [pack_kernel(k, BLUEPRINTS[key.blueprint]) for k, key in zip(kernels, KEYS, strict=True)]
    )
    x, y = torch.randn(2, 3, 6, 16)
    alphas = torch.tensor([0.5, 1.0, 0.25, 0.75, 1.0])[:, None, None]
    cut = Placed(KEYS, [key.row for key in KEYS]).cut(flat, Gates(alphas, alphas, ones()))
    expected = y.clone()
    for key, kernel, alpha in zip(KEYS, kernels, alphas.flatten(), strict=True):
        if key.place == 0:
            expected[key.row] += alpha * kernel(x[key.row])
    assert sorted(cut) == [0, 2]
    torch.testing.assert_close(cut[0].add(y, x), expected)


def test_an_isolated_kernel_learns_and_the_host_does_not_notice_it() -> None:
    torch.manual_seed(0)
    flat = torch.stack([pack_kernel(new_kernel(k), BLUEPRINTS[k.blueprint]) for k in KEYS])
    flat.requires_grad_()
    x = torch.randn(3, 6, 16, requires_grad=True)
    y = torch.randn(3, 6, 16)
    gates = Gates(0 * ones(), ones(), 0 * ones())
    out = Placed(KEYS, [key.row for key in KEYS]).cut(flat, gates)[0].add(y, x)
    to_x, to_kernels = torch.autograd.grad(out.sum(), [x, flat])
    assert torch.equal(out, y)
    assert torch.all(to_x == 0)
    assert [bool(row.abs().sum() > 0) for row in to_kernels] == [True] * 4 + [False]


def test_a_pool_keeps_its_kernels_sorted_and_their_numbers_with_them() -> None:
    pool = KernelPool()
    pool.change(
        [], {key: torch.full((pool.weights.shape[1],), 1.0 + n) for n, key in enumerate(KEYS)}
    )
    pool.change([KEYS[1]], {KEYS[1]: torch.full((pool.weights.shape[1],), 9.0)})
    assert pool.keys == KEYS
    assert pool.weights[:, 0].tolist() == [1.0, 9.0, 3.0, 4.0, 5.0]
    pool.renumber({1: 0, 2: 1})
    assert [(key.row, key.blueprint) for key in pool.keys] == [(0, 1), (1, 2), (0, 3)]
    assert pool.weights[:, 0].tolist() == [9.0, 3.0, 5.0]


def test_a_kernel_comes_back_from_the_pool() -> None:
    kernel, other = new_kernel(KEYS[0]), new_kernel(KEYS[0])
    pool = KernelPool()
    pool.change([], {KEYS[0]: pack_kernel(kernel, BLUEPRINTS[0])})
    unpack_kernel(other, BLUEPRINTS[0], pool.weights[pool.index()[KEYS[0]]])
    assert all(map(torch.equal, kernel.parameters(), other.parameters()))
