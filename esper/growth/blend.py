"""Mix kernels into the output of a slot.

While a kernel is isolated the slot's output is the host's, bit for bit, whatever the kernel
returns: the forward pass hands the host's values on and only the backward pass knows of the
kernel, which receives the gradient that it would have at alpha 1 (a straight-through estimator).
Once blended, `y = h + sum_i alpha_i * k_i(source)`, and gradients reach everything upstream.
"""

from typing import Any

import torch
from torch import Tensor, nn

from esper.contracts.slot import Placement


class _Isolate(torch.autograd.Function):
    """Return the values of `host`; hand the gradient to both `host` and `kernel`.

    A copy of the values: the host may go on to change the slot's output in place.
    """

    @staticmethod
    def forward(ctx: Any, host: Tensor, kernel: Tensor) -> Tensor:
        del ctx, kernel
        return host.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        del ctx
        return grads[0], grads[0]


class Bank(nn.Module):
    """The kernels of one slot.  Exists only while the slot has any.

    `alphas` are 0-dim buffers, so that a change of alpha recompiles nothing.  A muted kernel is
    left out altogether, as if it had never been.  Kernels are kept in the order of their seeds, so
    that the sum is the same in whichever order they came.
    """

    def __init__(self, placement: Placement) -> None:
        super().__init__()
        self.placement = placement
        self.kernels = nn.ModuleDict()
        self.isolated: set[str] = set()
        self.muted: set[str] = set()
        self._finite: dict[str, Tensor] = {}

    def add(self, seed: int, kernel: nn.Module, like: Tensor | None) -> None:
        """Take in an isolated kernel with alpha 0, on the device and dtype of `like`."""
        assert str(seed) not in self.kernels, f"seed {seed} has a kernel already"
        if like is not None:
            kernel = kernel.to(device=like.device, dtype=like.dtype)
        kernels = {**self.kernels, str(seed): kernel.train(self.training)}
        self.kernels = nn.ModuleDict({key: kernels[key] for key in sorted(kernels, key=int)})
        zero = torch.zeros((), device=None if like is None else like.device)
        self.register_buffer(f"alpha_{seed}", zero)
        self.isolated.add(str(seed))

    def remove(self, seed: int) -> nn.Module:
        """Give back a kernel and forget it."""
        kernel = self.kernels.pop(str(seed))
        delattr(self, f"alpha_{seed}")
        self.isolated.discard(str(seed))
        self.muted.discard(str(seed))
        self._finite.pop(str(seed), None)
        return kernel

    def alpha(self, seed: int) -> float:
        """Return the blend factor of a seed."""
        return float(self.get_buffer(f"alpha_{seed}"))

    def set_alpha(self, seed: int, alpha: float) -> None:
        """Set the blend factor of a seed in place."""
        self.get_buffer(f"alpha_{seed}").fill_(alpha)

    def is_finite(self, seed: int) -> bool:
        """Return whether a kernel's weights, and all that it gave while isolated, are finite."""
        weights = [w for w in self.kernels[str(seed)].parameters() if w.is_floating_point()]
        seen = self._finite.get(str(seed))
        return all(bool(w.isfinite().all()) for w in weights) and (seen is None or bool(seen))

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Refuse: kernels are no layer of the block."""
        raise RuntimeError(
            "a slot's kernels were called as a layer: the forward of its block iterates over its "
            "submodules; give the slot to one of them"
        )

    def mix(self, host: Any, block_input: Any) -> Any:
        """Return the slot's output for the block's output `host` and input `block_input`."""
        source = host if self.placement is Placement.SERIES else block_input
        learning = self.training and torch.is_grad_enabled()
        output = host
        for seed, kernel in self.kernels.items():
            if seed in self.muted:
                continue
            if seed not in self.isolated:
                alpha = self._buffers[f"alpha_{seed}"]
                assert alpha is not None, "a kernel has its alpha"
                output = _blend(output, alpha, kernel, source)
            elif learning:
                output = self._isolate(seed, output, kernel(source.detach()))
        return output

    def _isolate(self, seed: str, output: Tensor, residual: Tensor) -> Tensor:
        finite = residual.detach().isfinite().all()
        seen = self._finite.get(seed)
        # A tensor, read once an epoch: looking at each step would make an accelerator wait.
        self._finite[seed] = finite if seen is None else seen & finite
        mixed: Tensor = _Isolate.apply(output, residual)  # type: ignore[no-untyped-call]
        return mixed


def _blend(output: Tensor, alpha: Tensor, kernel: nn.Module, source: Tensor) -> Tensor:
    """Return `output + alpha * kernel(source)`.

    In eval mode torch's transformer encoder hands padded batches to its layers as nested tensors.
    """
    if not output.is_nested:
        mixed: Tensor = output + alpha * kernel(source)
        return mixed
    residual = kernel(source.to_padded_tensor(0.0))
    parts = zip(output.unbind(), residual.unbind(), strict=True)
    return torch.nested.as_nested_tensor([h + alpha * k[: len(h)] for h, k in parts])
