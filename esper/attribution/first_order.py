"""Rank untrained kernels by the L1 norm of their gradients."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from esper.growth import attach
from esper.growth.bank import KernelBank
from esper.growth.host import Host
from esper.kernels.errors import escalate, first_line
from esper.kernels.kernel import Kernel, KernelError
from esper.probe.modes import eval_mode, every_layer_called
from esper.probe.rng_state import RngState, restored

Loss = Callable[[nn.Module], Tensor]
"""Takes a model; returns a scalar loss with a graph, on training samples."""


class _LossError(ValueError):
    """The loss is no scalar with a graph."""


def first_order_scores(
    host: Host, slot: str, kernels: Mapping[int, Kernel], loss: Loss
) -> dict[int, float]:
    """Return the score of each kernel, by seed, from one backward pass for all of them.

    The kernels are isolated, so that none affects another.  The host runs in eval mode; host and
    global random state do not change.  A kernel without trainable parameters scores 0.

    Raises:
        KernelError: if a kernel makes the loss or its gradient fail.
        ValueError: if the loss is no scalar with a graph.
    """
    try:
        return _together(host, slot, kernels, loss)
    except (KernelError, _LossError):
        raise
    # A kernel can be a user's code, so this boundary catches any exception.
    except Exception as error:
        escalate(error)
        _together(host, slot, {}, loss)
        for seed, kernel in kernels.items():
            try:
                _together(host, slot, {seed: kernel}, loss)
            except Exception as alone:
                escalate(alone)
                problem = f"fails: {type(alone).__name__}: {first_line(alone)}"
                raise KernelError(slot, seed, kernel.blueprint, problem) from alone
        raise


def _together(host: Host, slot: str, kernels: Mapping[int, Kernel], loss: Loss) -> dict[int, float]:
    module = host.slots[slot].module
    with eval_mode(host.model), every_layer_called(), restored(RngState.now()):
        living = attach.bank_of(module)
        # Isolated kernels do not change the loss and need not run.
        quiet = set() if living is None else living.isolated - living.muted
        for seed, kernel in kernels.items():
            host.put_kernel(slot, seed, kernel.module)
        try:
            bank = attach.bank_of(module)
            if bank is not None:
                bank.training = True
                bank.muted |= quiet
            scores = _scores(kernels, loss(host.model))
            if bank is not None:
                _check_faults(slot, kernels, bank)
            return scores
        finally:
            if living is not None:
                living.muted -= quiet
            for seed in kernels:
                attach.take_kernel(module, seed)
            host.average.follow()


def _check_faults(slot: str, kernels: Mapping[int, Kernel], bank: KernelBank) -> None:
    """Raise `KernelError` if the slot left out a kernel that failed."""
    for seed, kernel in kernels.items():
        for fault in bank.faults.take(seed):
            problem = f"fails: {fault.error}: {fault.message}"
            raise KernelError(slot, seed, kernel.blueprint, problem)


def _scores(kernels: Mapping[int, Kernel], value: Tensor) -> dict[int, float]:
    owners = [
        (seed, parameter)
        for seed, kernel in kernels.items()
        for parameter in kernel.module.parameters()
        if parameter.requires_grad
    ]
    scores = dict.fromkeys(kernels, 0.0)
    if value.numel() != 1 or (owners and not value.requires_grad):
        raise _LossError(
            f"loss must return a scalar with a graph, got shape {tuple(value.shape)} "
            f"and requires_grad={value.requires_grad}"
        )
    if owners:
        grads = torch.autograd.grad(value, [p for _, p in owners], allow_unused=True)
        for (seed, _), grad in zip(owners, grads, strict=True):
            scores[seed] += 0.0 if grad is None else float(grad.abs().sum())
    return scores
