"""Score an untrained kernel from the gradient of its block's output, without a pass of the host.

    score = sum |g|     g: gradient of the host's loss by the kernel's parameters at alpha 1

It is the score of `first_order`, for a block that a forward pass calls once.
"""

import torch
from torch import Tensor

from esper.attribution.modes import Key
from esper.kernels.errors import escalate, first_line
from esper.kernels.kernel import Kernel, KernelError


def birth_score(
    key: Key, kernel: Kernel, source_B: Tensor, slope_B: Tensor, like: Tensor | None
) -> float:
    """Return the score of a kernel; 0 without trainable parameters.

    Args:
        key: slot and seed of the kernel, which is in no slot.
        kernel: runs in eval mode.
        source_B: the input or output of the block, by the slot's placement.
        slope_B: gradient of the loss by the block's output.
        like: a weight whose device and dtype the kernel takes.

    Raises:
        KernelError: if the kernel or its gradient fails.
    """
    module = kernel.module.eval()
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        if like is not None:
            module.to(device=like.device, dtype=like.dtype)
        residual_B = module(source_B.detach())
        if residual_B.shape != slope_B.shape:
            raise ValueError(f"gave shape {tuple(residual_B.shape)}")
        if not parameters or not residual_B.requires_grad:
            return 0.0
        grads = torch.autograd.grad(
            residual_B, parameters, slope_B.to(residual_B.dtype), allow_unused=True
        )
    # A kernel can be a user's code, so this boundary catches any exception.
    except Exception as error:
        escalate(error)
        problem = f"fails: {type(error).__name__}: {first_line(error)}"
        raise KernelError(*key, kernel.blueprint, problem) from error
    sizes = torch._foreach_norm([grad for grad in grads if grad is not None], 1)
    return sum(map(float, sizes))
