"""Mix kernels into the output of a slot.

While a kernel is isolated the slot's output is the host's, bit for bit, whatever the kernel
returns: the forward pass hands the host's values on and only the backward pass knows of the
kernel, which receives the gradient that it would have at alpha 1 (a straight-through estimator).
Once blended, `y = h + sum_i alpha_i * k_i(source)`, and gradients reach everything upstream.

A kernel can be a user's code, and may fail while the network runs.  Where somebody looks after the
kernels (`care`), the slot then gives what it would give without this one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from esper.contracts.slot import Placement
from esper.kernels.errors import Remedy, WrongOutputError, call_again, escalate, remedy_of
from esper.kernels.faults import FaultTracker


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


class KernelBank(nn.Module):
    """The kernels of one slot.  Exists only while the slot has any.

    `alphas` are 0-dim buffers, so that a change of alpha recompiles nothing.  A muted kernel is
    left out altogether, as if it had never been, and so is one that rests after failures.  Kernels
    are kept in the order of their seeds, so that the sum is the same in whichever order they came.
    """

    def __init__(self, placement: Placement) -> None:
        super().__init__()
        self.placement = placement
        self.kernels = nn.ModuleDict()
        self.isolated: set[str] = set()
        self.muted: set[str] = set()
        self.care = FaultTracker()
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
        self.care.forget(str(seed))
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

    def bookkeeping(self) -> dict[str, Any]:
        """Return what no parameter or buffer holds: isolation, finiteness so far, and failures."""
        return {
            "isolated": sorted(self.isolated, key=int),
            "finite": dict(self._finite),
            "care": self.care.state(),
        }

    def take_bookkeeping(self, saved: dict[str, Any]) -> None:
        """Take over what `bookkeeping` gave of a bank with the same kernels."""
        self.isolated, self._finite = set(saved["isolated"]), dict(saved["finite"])
        self.care.load_state(saved["care"])

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Refuse: kernels are no layer of the block."""
        raise RuntimeError(
            "a slot's kernels were called as a layer: the forward of its block iterates over its "
            "submodules; give the slot to one of them"
        )

    def mix(self, host: Any, block_input: Any) -> Any:
        """Return the slot's output for the block's output `host` and input `block_input`.

        Raises:
            EscalatedError: if a kernel's error is one that the run cannot go on after.
        """
        source = host if self.placement is Placement.SERIES else block_input
        learning = self.training and torch.is_grad_enabled()
        output = host
        for seed, kernel in self.kernels.items():
            if seed in self.muted or seed in self.care.resting:
                continue
            if seed in self.isolated and not learning:
                continue
            try:
                output = self._mixed(seed, kernel, output, source)
            # A kernel can be a user's code, so this is a boundary that takes any exception.
            except Exception as error:
                if self.care.options is None:
                    raise
                again = partial(self._mixed, seed, kernel, output, source)
                output = self._recovered(seed, output, error, again)
        return output

    def _mixed(self, seed: str, kernel: nn.Module, output: Tensor, source: Tensor) -> Tensor:
        if seed in self.isolated:
            return self._isolate(seed, output, _checked(kernel(source.detach()), output))
        alpha = self._buffers[f"alpha_{seed}"]
        assert alpha is not None, "a kernel has its alpha"
        return _blend(output, alpha, kernel, source)

    def _recovered(
        self, seed: str, output: Tensor, error: Exception, again: Callable[[], Tensor]
    ) -> Tensor:
        """Return what another try gives, or `output`: the slot's without the kernel that failed."""
        assert self.care.options is not None, "somebody looks after the kernel"
        escalate(error)
        remedy = remedy_of(error)
        if remedy is not Remedy.RETRY:
            self.care.failed(seed, error, remedy)
            return output
        try:
            mixed = call_again(again, self.care.options)
        except Exception as last:  # noqa: BLE001 - the same boundary
            escalate(last)
            remedy = remedy_of(last)
            retried = remedy is Remedy.RETRY
            self.care.failed(seed, last, Remedy.FALLBACK if retried else remedy)
            return output
        self.care.notes.add(seed, error, Remedy.RETRY)
        return mixed

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
        mixed: Tensor = output + alpha * _checked(kernel(source), output)
        return mixed
    padded = output.to_padded_tensor(0.0)
    residual = _checked(kernel(source.to_padded_tensor(0.0)), padded)
    parts = zip(output.unbind(), residual.unbind(), strict=True)
    return torch.nested.as_nested_tensor([h + alpha * k[: len(h)] for h, k in parts])


def _checked(residual: Any, output: Tensor) -> Tensor:
    """Return what a kernel gave if its sum with `output` has the shape and dtype of `output`.

    A lower precision does no harm, and autocast mixes precisions by itself.

    Raises:
        WrongOutputError: if it has not.
    """
    if not isinstance(residual, Tensor):
        raise WrongOutputError(f"gave a {type(residual).__name__}, must give a tensor")
    if residual.shape != output.shape:
        raise WrongOutputError(f"gave shape {tuple(residual.shape)}, must be {tuple(output.shape)}")
    if residual.dtype is not output.dtype and not _mixes(residual, output):
        raise WrongOutputError(f"gave {residual.dtype}, the host's output is {output.dtype}")
    return residual


def _mixes(residual: Tensor, output: Tensor) -> bool:
    if not residual.is_floating_point():
        return False
    if torch.promote_types(residual.dtype, output.dtype) is output.dtype:
        return True
    is_double = residual.dtype is torch.float64
    return torch.is_autocast_enabled(output.device.type) and not is_double
