"""AdamW for rows."""

import torch
from torch import nn
from torch.optim import AdamW

from esper.run.episodes.batched.adam import AdamRows


def test_a_row_takes_the_steps_that_torch_takes() -> None:
    rng = torch.Generator().manual_seed(0)
    weights = torch.randn(3, 5, generator=rng)
    start, grads = weights.clone(), torch.randn(4, 3, 5, generator=rng)
    rows = AdamRows(weights, torch.zeros(3, 5), torch.zeros(3, 5), torch.zeros(3), weight_decay=0.1)
    for grad in grads:
        norms = rows.take(grad.clone(), max_norm=1.0)
        assert torch.all(norms <= 1.0)
        rows.step({0.01: [0, 2]})
    assert torch.equal(weights[1], start[1])
    assert rows.steps.tolist() == [4, 0, 4]
    for row in (0, 2):
        alone = nn.Parameter(start[row].clone())
        optimizer = AdamW([alone], lr=0.01, weight_decay=0.1, fused=True)
        for grad in grads:
            alone.grad = grad[row].clone()
            nn.utils.clip_grad_norm_([alone], 1.0)
            optimizer.step()
        torch.testing.assert_close(weights[row], alone.detach(), rtol=0, atol=1e-7)


def test_a_frozen_part_neither_learns_nor_decays_nor_counts_in_the_norm() -> None:
    weights = torch.ones(1, 4)
    rows = AdamRows(
        weights,
        torch.zeros(1, 4),
        torch.zeros(1, 4),
        torch.zeros(1),
        weight_decay=0.5,
        frozen={0: (1, 3)},
    )
    norms = rows.take(torch.tensor([[0.3, 100.0, 100.0, 0.4]]), max_norm=1.0)
    rows.step({0.1: [0]})
    torch.testing.assert_close(norms, torch.tensor([0.5]))
    assert weights[0, 1:3].tolist() == [1.0, 1.0]
    assert torch.all(weights[0, [0, 3]] < 0.95)
