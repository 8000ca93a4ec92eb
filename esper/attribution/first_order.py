"""Rank untrained kernels by the L1 norm of their gradients."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from esper.attribution.modes import Key
from esper.growth import attach
from esper.growth.bank import KernelBank, guarded
from esper.growth.host import Host
from esper.kernels.errors import escalate, first_line
from esper.kernels.kernel import Kernel, KernelError
from esper.probe.modes import eval_mode, every_layer_called
from esper.probe.rng_state import RngState, restored

Loss = Callable[[nn.Module], Tensor]
"""Takes a model; returns a scalar loss with a graph, on training samples."""


class _LossError(ValueError):
    """The loss is no scalar with a graph."""


def first_order_scores(host: Host, kernels: Mapping[Key, Kernel], loss: Loss) -> dict[Key, float]:
    """Return the score of each kernel, by slot and seed, from one backward pass for all of them.

    The kernels are isolated, so that none affects another.  The host runs in eval mode; host and
    global random state do not change.  A kernel without trainable parameters scores 0.

    Raises:
        KernelError: if a kernel makes the loss or its gradient fail.
        ValueError: if the loss is no scalar with a graph.
    """
    try:
        return _together(host, kernels, loss)
    except (KernelError, _LossError):
        raise
    # A kernel can be a user's code, so this boundary catches any exception.
    except Exception as error:
        escalate(error)
        _together(host, {}, loss)
        for (slot, seed), kernel in kernels.items():
            try:
                _together(host, {(slot, seed): kernel}, loss)
            except Exception as alone:
                escalate(alone)
                problem = f"fails: {type(alone).__name__}: {first_line(alone)}"
                raise KernelError(slot, seed, kernel.blueprint, problem) from alone
        raise


def _together(host: Host, kernels: Mapping[Key, Kernel], loss: Loss) -> dict[Key, float]:
    model, now = host.model, RngState.now()
    modes = (eval_mode(model), guarded(model), every_layer_called(), restored(now))
    with ExitStack() as stack:
        for mode in (*modes, _placed(host, kernels)):
            stack.enter_context(mode)
        scores = _scores(kernels, loss(model))
        for (slot, seed), kernel in kernels.items():
            _check_faults(slot, seed, kernel, attach.kernels_of(host.slots[slot].module))
        return scores


@contextmanager
def _placed(host: Host, kernels: Mapping[Key, Kernel]) -> Iterator[None]:
    """Put isolated kernels that learn into their slots for a block."""
    modules = {slot: host.slots[slot].module for slot, _ in kernels}
    living = {slot: attach.bank_of(module) for slot, module in modules.items()}
    # Isolated kernels do not change the loss and need not run.
    quiet = {slot: bank.isolated - bank.muted for slot, bank in living.items() if bank is not None}
    for (slot, seed), kernel in kernels.items():
        # Not by the host, which would average it too.
        place, like = host.slots[slot], host.like(slot)
        attach.put_kernel(place.module, place.spec.placement, seed, kernel.module, like)
        attach.describe_kernel(place.module, place.spec, seed, kernel.blueprint)
    try:
        for slot, module in modules.items():
            bank = attach.kernels_of(module)
            bank.training = True
            bank.muted |= quiet.get(slot, set())
        yield
    finally:
        for slot, names in quiet.items():
            attach.kernels_of(modules[slot]).muted -= names
        for slot, seed in kernels:
            attach.take_kernel(modules[slot], seed)


def _check_faults(slot: str, seed: int, kernel: Kernel, bank: KernelBank) -> None:
    """Raise `KernelError` if the slot left out a kernel that failed."""
    for fault in bank.faults.take(seed):
        problem = f"fails: {fault.error}: {fault.message}"
        raise KernelError(slot, seed, kernel.blueprint, problem)


def _scores(kernels: Mapping[Key, Kernel], value: Tensor) -> dict[Key, float]:
    owners = [
        (key, parameter)
        for key, kernel in kernels.items()
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
        for (key, _), grad in zip(owners, grads, strict=True):
            scores[key] += 0.0 if grad is None else float(grad.abs().sum())
    return scores
