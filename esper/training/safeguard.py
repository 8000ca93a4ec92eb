"""Find the kernels that make a training step fail, and take the step without them.

An error in a kernel's backward pass, or in the host because of a kernel's output, does not name the
kernel.  So the step is tried without any kernel, then with one more at a time; each kernel with
which it fails rests until the epoch is over.  Every try starts from the same state as the first, so
that the step equals, to the bit, that of a network without the kernels left out.
"""

import traceback
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from esper.growth.bank import KernelBank
from esper.kernels.errors import Remedy, call_again, escalate, remedy_of

T = TypeVar("T")


class Safeguard:
    """Protects the steps of one epoch.  Costs and changes nothing for a network without kernels.

    State that a try changes and the next one needs as it was: running statistics of norms, and
    torch's global generators on the devices of the network.
    """

    def __init__(self, model: nn.Module) -> None:
        modules = list(model.modules())
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
        """Return the result of `attempt`: forward and backward pass of a step, from no gradients.

        Raises:
            EscalatedError: if its error is one after which the run has to stop.
            Exception: the error of `attempt` if it fails without any kernel too.
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
        # Its frames hold the activations of the failed step, which may have been too many.
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
        return self._without_the_guilty(attempt, error)

    def _without_the_guilty(self, attempt: Callable[[], T], error: Exception) -> T:
        """Return the step with every kernel with which it works; note the others as failed.

        Raises:
            Exception: `error`, if the step fails without any kernel.
        """
        suspects = self._suspects()
        result = self._host_alone(attempt, suspects, error)
        is_stale, num_guilty = False, 0
        for bank, seed in suspects:
            bank.faults.resting.discard(seed)
            try:
                result, is_stale = self._attempt(attempt), False
            except Exception as guilt:  # noqa: BLE001 - the same boundary
                escalate(guilt)
                bank.faults.failed(seed, guilt, Remedy.DEGRADE)
                is_stale, num_guilty = True, num_guilty + 1
        if suspects and not num_guilty:
            suspects[0][0].faults.note(None, error, Remedy.RETRY)
        if not is_stale:
            return result
        # The last suspect failed after its gradients were set.  A kernel that fails now and then
        # may fail again; then one kernel fewer takes part.
        self._restore()
        return self.run(attempt)

    def _host_alone(
        self, attempt: Callable[[], T], suspects: list[tuple[KernelBank, int]], error: Exception
    ) -> T:
        """Return the step without the suspects, or let them in again and raise `error`."""
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
        """Return the kernels that take part, fossilized ones first."""
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
