"""Find the kernels that make a training step fail, and repeat the step without them.

An error in a kernel's backward pass, or in the host because of a kernel's output, does not name the
kernel.  So the step is tried without any kernel, then with one more at a time; each kernel with
which it fails rests until the end of the epoch.  Every try starts from the same state, so that the
step is bit-identical to that of a network without the resting kernels.
"""

import traceback
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from esper.growth.bank import KernelBank
from esper.kernels.errors import Remedy, call_again, escalate, remedy_of
from esper.probe.modules import modules_of

T = TypeVar("T")


class Safeguard:
    """Protects the steps of one epoch.  Has no effect and no cost for a network without kernels.

    Restores before each new try what a try changes: running statistics of norms, and torch's global
    generators on the network's devices.
    """

    def __init__(self, model: nn.Module) -> None:
        modules = modules_of(model)
        self._banks = [
            m for m in modules if isinstance(m, KernelBank) and m.faults.options is not None
        ]
        norms = [m for m in modules if isinstance(getattr(m, "running_mean", None), Tensor)]
        buffers = [buffer for norm in norms for buffer in norm.buffers(recurse=False)]
        self._statistics = buffers if self._banks else []
        self._devices = sorted({p.device.index for p in model.parameters() if p.is_cuda})
        self._statistics_before = [buffer.clone() for buffer in self._statistics]
        self._rng_before: tuple[Tensor, list[Tensor]]

    def run(self, attempt: Callable[[], T]) -> T:
        """Return the result of `attempt`: clear the gradients, forward pass, backward pass.

        Raises:
            EscalatedError: if its error must stop the run.
            Exception: the error of `attempt` if it also fails without any kernel.
        """
        if not self._banks:
            return attempt()
        self._remember()
        try:
            return attempt()
        # Kernels can be users' code, so this boundary catches any exception.
        except Exception as error:  # noqa: BLE001
            return self._recovered(attempt, error)

    def _recovered(self, attempt: Callable[[], T], error: Exception) -> T:
        escalate(error)
        # Frees the activations of the failed step, which may have exhausted the memory.
        traceback.clear_frames(error.__traceback__)
        faults = self._banks[0].faults
        assert faults.options is not None, "recovery is on in these banks"
        if remedy_of(error) is Remedy.RETRY:
            try:
                result = call_again(lambda: self._attempt(attempt), faults.options)
            except Exception as last:  # noqa: BLE001 - the same boundary
                escalate(last)
            else:
                faults.note(None, error, Remedy.RETRY)
                return result
        return self._without_failing_kernels(attempt, error)

    def _without_failing_kernels(self, attempt: Callable[[], T], error: Exception) -> T:
        """Return the step with all kernels with which it works; log the others as failed.

        Raises:
            Exception: `error`, if the step fails without any kernel.
        """
        suspects = self._suspects()
        result = self._host_alone(attempt, suspects, error)
        is_stale, num_failed = False, 0
        for bank, seed in suspects:
            bank.faults.resting.discard(seed)
            try:
                result, is_stale = self._attempt(attempt), False
            except Exception as failure:  # noqa: BLE001 - the same boundary
                escalate(failure)
                bank.faults.failed(seed, failure, Remedy.DEGRADE)
                is_stale, num_failed = True, num_failed + 1
        if suspects and not num_failed:
            suspects[0][0].faults.note(None, error, Remedy.RETRY)
        if not is_stale:
            return result
        # The gradients are those of the last try, which failed.  A kernel that fails at random may
        # fail again; then it rests too.
        self._restore()
        return self.run(attempt)

    def _host_alone(
        self, attempt: Callable[[], T], suspects: list[tuple[KernelBank, int]], error: Exception
    ) -> T:
        """Return the step without the suspects; if it fails, let them run again, raise `error`."""
        for bank, seed in suspects:
            bank.faults.resting.add(seed)
        try:
            return self._attempt(attempt)
        except Exception as last:  # noqa: BLE001 - the same boundary
            escalate(last)
            for bank, seed in suspects:
                bank.faults.resting.discard(seed)
            raise error from None

    def _suspects(self) -> list[tuple[KernelBank, int]]:
        """Return the kernels that are neither muted nor resting, fossilized ones first."""
        suspects = [
            (bank, int(name))
            for bank in self._banks
            for name in bank.kernels
            if name not in bank.muted and int(name) not in bank.faults.resting
        ]
        return sorted(suspects, key=lambda pair: pair[1] not in pair[0].faults.fossils)

    def _remember(self) -> None:
        devices = [torch.cuda.get_rng_state(index) for index in self._devices]
        self._rng_before = (torch.get_rng_state(), devices)
        if self._statistics:
            torch._foreach_copy_(self._statistics_before, self._statistics)

    def _attempt(self, attempt: Callable[[], T]) -> T:
        """Repeat the step from the state before its first try."""
        self._restore()
        return attempt()

    def _restore(self) -> None:
        rng_state, devices = self._rng_before
        torch.set_rng_state(rng_state)
        for index, state in zip(self._devices, devices, strict=True):
            torch.cuda.set_rng_state(state, index)
        if self._statistics:
            torch._foreach_copy_(self._statistics, self._statistics_before)
