"""Score untrained kernels from the gradient of their block's output, without a pass of the host.

    score = sum |g|     g: gradient of the host's loss by the kernel's parameters at alpha 1

It is the score of `first_order`, for a block that a forward pass calls once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from esper.attribution.modes import Key
from esper.kernels.errors import escalate, first_line
from esper.kernels.kernel import Kernel, KernelError


@dataclass(frozen=True, slots=True, kw_only=True)
class Unborn:
    """A kernel that is in no slot, and what it would meet in its slot.

    key: slot and seed.
    source_B: the input or output of the block, by the slot's placement.
    slope_B: gradient of the loss by the block's output.
    like: a weight whose device and dtype the kernel takes.
    """

    key: Key
    kernel: Kernel
    source_B: Tensor
    slope_B: Tensor
    like: Tensor | None

    def residual_B(self) -> Tensor:
        """Return the kernel's output in eval mode."""
        module = self.kernel.module
        if module.training:
            module.eval()
        weight, like = next(module.parameters(), None), self.like
        is_placed = weight is not None and like is not None and _is_alike(weight, like)
        if like is not None and not is_placed:
            module.to(device=like.device, dtype=like.dtype)
        residual: Tensor = module(self.source_B.detach())
        if residual.shape != self.slope_B.shape:
            raise ValueError(f"gave shape {tuple(residual.shape)}")
        return residual


def birth_scores(unborn: Sequence[Unborn]) -> dict[Key, float]:
    """Return the scores of the kernels that do not fail; 0 of one without trainable parameters."""
    try:
        return _scores(unborn)
    except KernelError:
        # A kernel that fails is reported when it is asked for.
        if len(unborn) == 1:
            return {}
        return {key: score for each in unborn for key, score in birth_scores([each]).items()}


def _scores(unborn: Sequence[Unborn]) -> dict[Key, float]:
    scores = {each.key: 0.0 for each in unborn}
    try:
        outputs = [(each, each.residual_B()) for each in unborn]
        learning = [(each, residual) for each, residual in outputs if residual.requires_grad]
        parameters = [
            (each.key, parameter)
            for each, _ in learning
            for parameter in each.kernel.module.parameters()
            if parameter.requires_grad
        ]
        grads: Sequence[Tensor | None] = ()
        if parameters:
            grads = torch.autograd.grad(
                [residual for _, residual in learning],
                [parameter for _, parameter in parameters],
                [each.slope_B.to(residual.dtype) for each, residual in learning],
                allow_unused=True,
            )
    # A kernel can be a user's code, so this boundary catches any exception.
    except Exception as error:
        escalate(error)
        problem = f"fails: {type(error).__name__}: {first_line(error)}"
        raise KernelError(*unborn[0].key, unborn[0].kernel.blueprint, problem) from error
    pairs = zip(parameters, grads, strict=True)
    known = [(key, grad) for (key, _), grad in pairs if grad is not None]
    norms = torch._foreach_norm([grad for _, grad in known], 1) if known else ()
    for (key, _), norm in zip(known, norms, strict=True):
        scores[key] += float(norm)
    return scores


def _is_alike(weight: Tensor, like: Tensor) -> bool:
    return weight.device == like.device and weight.dtype == like.dtype
