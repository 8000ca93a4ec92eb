"""Mix kernels into the output of a slot.

An isolated kernel does not change the slot's output, bit for bit.  In the backward pass it receives
the gradient that it would have at alpha 1 (a straight-through estimator).  With blended kernels
`y = h + sum_i alpha_i * k_i(source)`, and gradients reach everything upstream.

A kernel can be a user's code and may fail at run time.  In training, and in evaluations that report
failures (`guarded`), the slot's output then leaves out this kernel if recovery is on
(`faults.options`).  Elsewhere the forward pass raises: a network in use is whole or fails.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from esper.contracts.slot import Placement, SlotSpec
from esper.kernels.errors import (
    KernelFailedError,
    Remedy,
    WrongOutputError,
    call_again,
    escalate,
    remedy_of,
)
from esper.kernels.faults import FaultLog
from esper.kernels.latency import Latencies
from esper.probe.modules import modules_of


class _Isolate(torch.autograd.Function):
    """Return a copy of `host`; pass the gradient to both `host` and `kernel`.

    A copy, because the host may change the slot's output in place.
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
    """The kernels of one slot, named by the index of their seed; a slot without any has no bank.

    Alphas are 0-dim buffers, so that changing alpha does not recompile.  The forward pass skips
    muted kernels and kernels that rest after failures.  Kernels are sorted by seed, so that the
    order in which they were added does not affect the sum.

    spec: the slot, as it was found; None in a bank that no host made.
    blueprints: the blueprint of each kernel, by name.
    isolated, muted: names of kernels.
    tossed: names of the kernels that the next training step leaves out at random.
    faults: failures of the kernels, and the seeds whose kernels rest.
    latencies: times of the calls in evaluations of the grower.
    is_guarded: whether the caller reports failures; see `guarded`.
    """

    def __init__(self, placement: Placement) -> None:
        super().__init__()
        self.placement = placement
        self.spec: SlotSpec | None = None
        self.blueprints: dict[str, str] = {}
        self.kernels = nn.ModuleDict()
        self.isolated: set[str] = set()
        self.muted: set[str] = set()
        self.tossed: set[str] = set()
        self.faults = FaultLog()
        self.latencies = Latencies()
        self.is_guarded = False
        self._finite: dict[str, Tensor] = {}

    def add(self, seed: int, kernel: nn.Module, like: Tensor | None) -> None:
        """Add an isolated kernel with alpha 0, on the device and dtype of `like`."""
        assert str(seed) not in self.kernels, f"seed {seed} has a kernel already"
        if like is not None:
            kernel = kernel.to(device=like.device, dtype=like.dtype)
        kernels = {**self.kernels, str(seed): kernel.train(self.training)}
        self.kernels = nn.ModuleDict({key: kernels[key] for key in sorted(kernels, key=int)})
        zero = torch.zeros((), device=None if like is None else like.device)
        self.register_buffer(f"alpha_{seed}", zero)
        self.isolated.add(str(seed))

    def remove(self, seed: int) -> nn.Module:
        """Remove a kernel and return it."""
        name = str(seed)
        kernel = self.kernels.pop(name)
        delattr(self, f"alpha_{seed}")
        self.isolated.discard(name)
        self.muted.discard(name)
        self.tossed.discard(name)
        self.blueprints.pop(name, None)
        self.faults.forget(seed)
        self.latencies.forget(seed)
        self._finite.pop(name, None)
        return kernel

    def set_alpha(self, seed: int, alpha: float) -> None:
        """Set the blend factor of a seed in place."""
        self.get_buffer(f"alpha_{seed}").fill_(alpha)

    def is_finite(self, seed: int) -> bool:
        """Return whether a kernel's weights, and all its outputs while isolated, are finite."""
        weights = [w for w in self.kernels[str(seed)].parameters() if w.is_floating_point()]
        seen = self._finite.get(str(seed))
        return all(bool(w.isfinite().all()) for w in weights) and (seen is None or bool(seen))

    def bookkeeping(self) -> dict[str, Any]:
        """Return the state outside parameters and buffers: isolation, finiteness, faults."""
        return {
            "isolated": sorted(self.isolated, key=int),
            "finite": dict(self._finite),
            "faults": self.faults.state(),
        }

    def take_bookkeeping(self, saved: dict[str, Any]) -> None:
        """Load what `bookkeeping` returned for a bank with the same kernels."""
        self.isolated, self._finite = set(saved["isolated"]), dict(saved["finite"])
        self.faults.load_state(saved["faults"])

    def __getstate__(self) -> dict[str, Any]:
        """Return the state of a copy, which is not guarded and whose coins nobody tosses."""
        return {**self.__dict__, "is_guarded": False, "tossed": set()}

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Refuse to run: kernels are not a layer of the block."""
        raise RuntimeError(
            "a slot's kernels were called as a layer: the forward of its block iterates over its "
            "submodules; give the slot to one of them"
        )

    def mix(self, host: Any, block_input: Any) -> Any:
        """Return the slot's output for the block's output `host` and input `block_input`.

        Raises:
            EscalatedError: if the run has to stop after a kernel's error.
            KernelFailedError: if a kernel fails outside training, and nobody reports failures.
        """
        source = host if self.placement is Placement.SERIES else block_input
        learning = self.training and torch.is_grad_enabled()
        may_recover = self.training or self.is_guarded
        resting = self._resting() if self.faults.resting else ()
        output, call = host, self._mixed if learning else self._clocked_or_not()
        for name, kernel in self.kernels.items():
            if name in self.muted or (resting and int(name) in resting):
                continue
            # Isolated kernels only learn; those that the coin left out of this step do not.
            if name in (self.tossed if learning else self.isolated):
                continue
            try:
                output = call(name, kernel, output, source)
            # A kernel can be a user's code, so this boundary catches any exception.
            except Exception as error:
                if not may_recover:
                    raise self._failure(name, error) from error
                if self.faults.options is None:
                    raise
                again = partial(self._mixed, name, kernel, output, source)
                output = self._recovered(int(name), output, error, again)
        return output

    def _resting(self) -> set[int]:
        """Return the seeds whose kernels are left out; a fossil is only where that is reported."""
        resting = self.faults.resting
        return resting if self.training or self.is_guarded else resting - self.faults.fossils

    def _failure(self, name: str, error: Exception) -> KernelFailedError:
        slot = None if self.spec is None else self.spec.name
        return KernelFailedError(slot, int(name), self.blueprints.get(name), error)

    def _clocked_or_not(self) -> Callable[..., Tensor]:
        """Return `_mixed`, with a clock in evaluations of the grower; compiled code has none."""
        is_clocked = self.is_guarded and not torch.is_grad_enabled()
        return self._clocked if is_clocked and not torch.compiler.is_compiling() else self._mixed

    def _clocked(self, name: str, kernel: nn.Module, output: Tensor, source: Tensor) -> Tensor:
        began = time.perf_counter()
        mixed = self._mixed(name, kernel, output, source)
        if mixed.device.type == "cpu":  # elsewhere the call returns before the work is done
            self.latencies.add(int(name), (time.perf_counter() - began) * 1e3)
        return mixed

    def _mixed(self, name: str, kernel: nn.Module, output: Tensor, source: Tensor) -> Tensor:
        if name in self.isolated:
            return self._isolate(name, output, _checked(kernel(source.detach()), output))
        alpha = self._buffers[f"alpha_{name}"]
        assert alpha is not None, "a kernel has its alpha"
        return _blend(output, alpha, kernel, source)

    def _recovered(
        self, seed: int, output: Tensor, error: Exception, again: Callable[[], Tensor]
    ) -> Tensor:
        """Return the result of a retry, or else `output`, which lacks the failed kernel."""
        assert self.faults.options is not None, "recovery is on"
        if remedy_of(error) is Remedy.RETRY:
            try:
                mixed = call_again(again, self.faults.options)
            except Exception as last:  # noqa: BLE001 - the same boundary
                error = last
            else:
                self.faults.note(seed, error, Remedy.RETRY)
                return mixed
        escalate(error)
        remedy = remedy_of(error)
        self.faults.failed(seed, error, Remedy.FALLBACK if remedy is Remedy.RETRY else remedy)
        return output

    def _isolate(self, name: str, output: Tensor, residual: Tensor) -> Tensor:
        finite = residual.detach().isfinite().all()
        seen = self._finite.get(name)
        # Stays a tensor until the epoch ends: reading it each step would stall an accelerator.
        self._finite[name] = finite if seen is None else seen & finite
        mixed: Tensor = _Isolate.apply(output, residual)  # type: ignore[no-untyped-call]
        return mixed


@contextmanager
def guarded(model: nn.Module) -> Iterator[None]:
    """Leave failing kernels out inside the block also in eval mode; the caller reports them."""
    banks = [module for module in modules_of(model) if isinstance(module, KernelBank)]
    before = [bank.is_guarded for bank in banks]
    for bank in banks:
        bank.is_guarded = True
    try:
        yield
    finally:
        for bank, was_guarded in zip(banks, before, strict=True):
            bank.is_guarded = was_guarded


def _blend(output: Tensor, alpha: Tensor, kernel: nn.Module, source: Tensor) -> Tensor:
    """Return `output + alpha * kernel(source)`.

    In eval mode torch's transformer encoder passes padded batches to its layers as nested tensors.
    """
    if not output.is_nested:
        mixed: Tensor = output + alpha * _checked(kernel(source), output)
        return mixed
    padded = output.to_padded_tensor(0.0)
    residual = _checked(kernel(source.to_padded_tensor(0.0)), padded)
    parts = zip(output.unbind(), residual.unbind(), strict=True)
    return torch.nested.as_nested_tensor([h + alpha * k[: len(h)] for h, k in parts])


def _checked(residual: Any, output: Tensor) -> Tensor:
    """Return a kernel's output if it can be added to `output`.

    Allows lower precisions and those that autocast mixes.

    Raises:
        WrongOutputError: if the sum would have another shape or dtype than `output`.
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
