"""Rank kernels before any of them has learned: the L1 norm of each one's gradient at birth."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from esper.growth import attach
from esper.growth.chance import Chance, replayed
from esper.growth.host import Host
from esper.growth.kernel import Kernel
from esper.growth.modes import eval_mode, every_layer_called

Loss = Callable[[nn.Module], Tensor]
"""Takes a model; returns a scalar loss with a graph, on training samples."""


def first_order_scores(
    host: Host, slot: str, kernels: Mapping[int, Kernel], loss: Loss
) -> dict[int, float]:
    """Return the score of each kernel, by seed, from one backward pass for all of them.

    The kernels are isolated, so that none changes what another sees; the host is in eval mode and
    is left as it was, and so are the global generators.  A kernel without trainable parameters
    scores 0.

    Raises:
        ValueError: if the loss is no scalar with a graph.
    """
    module = host.slots[slot].module
    with eval_mode(host.model), every_layer_called(), replayed(Chance.now()):
        for seed, kernel in kernels.items():
            host.put_kernel(slot, seed, kernel.module)
        try:
            bank = attach.bank_of(module)
            if bank is not None:
                bank.training = True
            return _scores(kernels, loss(host.model))
        finally:
            for seed in kernels:
                attach.take_kernel(module, seed)


def _scores(kernels: Mapping[int, Kernel], value: Tensor) -> dict[int, float]:
    owners = [
        (seed, parameter)
        for seed, kernel in kernels.items()
        for parameter in kernel.module.parameters()
        if parameter.requires_grad
    ]
    scores = dict.fromkeys(kernels, 0.0)
    if value.numel() != 1 or (owners and not value.requires_grad):
        raise ValueError(
            f"loss must return a scalar with a graph, got shape {tuple(value.shape)} "
            f"and requires_grad={value.requires_grad}"
        )
    if owners:
        grads = torch.autograd.grad(value, [p for _, p in owners], allow_unused=True)
        for (seed, _), grad in zip(owners, grads, strict=True):
            scores[seed] += 0.0 if grad is None else float(grad.abs().sum())
    return scores
