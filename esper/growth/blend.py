"""Mix kernels into the output of a slot.

While a kernel is isolated the slot's output is the host's, bit for bit, whatever the kernel
returns: the forward pass hands the host's tensor on and only the backward pass knows of the
kernel, which receives the gradient that it would have at alpha 1 (a straight-through estimator).
Once blended, `y = h + sum_i alpha_i * k_i(source)`, and gradients reach everything upstream.
"""

from typing import Any

import torch
from torch import Tensor, nn

from esper.contracts.slot import Placement


class _Isolate(torch.autograd.Function):
    """Return `host` unchanged; hand the gradient to both `host` and `kernel`."""

    @staticmethod
    def forward(ctx: Any, host: Tensor, kernel: Tensor) -> Tensor:
        del ctx, kernel
        return host.view_as(host)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        del ctx
        return grads[0], grads[0]


class Bank(nn.Module):
    """The kernels of one slot.  Exists only while the slot has any.

    `alphas` are 0-dim buffers, so that a change of alpha recompiles nothing.  A muted kernel is
    left out altogether, as if it had never been.
    """

    def __init__(self, placement: Placement) -> None:
        super().__init__()
        self.placement = placement
        self.kernels = nn.ModuleDict()
        self.isolated: set[str] = set()
        self.muted: set[str] = set()

    def add(self, seed: int, kernel: nn.Module, like: Tensor | None) -> None:
        """Take in an isolated kernel with alpha 0, on the device and dtype of `like`."""
        if like is not None:
            kernel = kernel.to(device=like.device, dtype=like.dtype)
        self.kernels[str(seed)] = kernel.train(self.training)
        zero = torch.zeros((), device=None if like is None else like.device)
        self.register_buffer(f"alpha_{seed}", zero)
        self.isolated.add(str(seed))

    def remove(self, seed: int) -> nn.Module:
        """Give back a kernel and forget it."""
        kernel = self.kernels.pop(str(seed))
        delattr(self, f"alpha_{seed}")
        self.isolated.discard(str(seed))
        self.muted.discard(str(seed))
        return kernel

    def alpha(self, seed: int) -> float:
        """Return the blend factor of a seed."""
        return float(self.get_buffer(f"alpha_{seed}"))

    def set_alpha(self, seed: int, alpha: float) -> None:
        """Set the blend factor of a seed in place."""
        self.get_buffer(f"alpha_{seed}").fill_(alpha)

    def forward(self, host: Tensor, block_input: Tensor) -> Tensor:
        """Return the slot's output for the block's output `host` and input `block_input`."""
        source = host if self.placement is Placement.SERIES else block_input
        learning = self.training and torch.is_grad_enabled()
        output = host
        for seed, kernel in self.kernels.items():
            if seed in self.muted:
                continue
            if seed not in self.isolated:
                output = output + self.get_buffer(f"alpha_{seed}") * kernel(source)
            elif learning:
                output = _Isolate.apply(  # type: ignore[no-untyped-call]
                    output, kernel(source.detach())
                )
        return output
