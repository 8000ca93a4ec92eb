"""Find the kernels that make a training step fail, and take the step without them.

What fails in a kernel's backward pass, or in the host because of what a kernel gave it, does not
name the kernel.  The step is tried without any of them, then with one more at a time: those that it
fails with stay out until the epoch is over.  Every try starts from the same place as the first, so
that the step is, to the bit, that of a network which never had the kernels left out.
"""

import traceback
from collections.abc import Callable
from itertools import compress
from typing import TypeVar

import torch
from torch import Tensor, nn

from esper.growth.bank import KernelBank
from esper.kernels.errors import Remedy, call_again, escalate, remedy_of
from esper.kernels.faults import NOBODY

T = TypeVar("T")


class Safeguard:
    """Stands over the steps of one epoch.  A network without kernels costs and changes nothing.

    What a try moves and the next one finds as it was: running statistics of norms, and torch's
    global generators on the devices of the network.
    """

    def __init__(self, model: nn.Module) -> None:
        modules = list(model.modules())
        self._banks = [
            m for m in modules if isinstance(m, KernelBank) and m.care.options is not None
        ]
        has_statistics = [isinstance(getattr(m, "running_mean", None), Tensor) for m in modules]
        norms = list(compress(modules, has_statistics)) if self._banks else []
        self._statistics = [buffer for norm in norms for buffer in norm.buffers(recurse=False)]
        self._devices = sorted({p.device.index for p in model.parameters() if p.is_cuda})
        self._statistics_before = [buffer.clone() for buffer in self._statistics]
        self._chance_before: tuple[Tensor, list[Tensor]]

    def run(self, attempt: Callable[[], T]) -> T:
        """Return what `attempt` gives: forward and backward pass of a step, from zero gradients.

        Raises:
            EscalatedError: if its error is one that the run cannot go on after.
            Exception: what `attempt` raises without any kernel too.
        """
        if not self._banks:
            return attempt()
        self._remember()
        try:
            return attempt()
        # Kernels can be users' code, so this is a boundary that takes any exception.
        except Exception as error:  # noqa: BLE001
            return self._recovered(attempt, error)

    def _recovered(self, attempt: Callable[[], T], error: Exception) -> T:
        escalate(error)
        # Its frames hold the activations of the step that failed, which may have been too many.
        traceback.clear_frames(error.__traceback__)
        if remedy_of(error) is Remedy.RETRY:
            try:
                return self._again(attempt, error)
            except Exception as last:  # noqa: BLE001 - the same boundary
                escalate(last)
        return self._without_the_guilty(attempt, error)

    def _again(self, attempt: Callable[[], T], error: Exception) -> T:
        options = self._banks[0].care.options
        assert options is not None, "the banks are those that are looked after"
        result = call_again(lambda: self._attempt(attempt), options)
        self._banks[0].care.notes.add(NOBODY, error, Remedy.RETRY)
        return result

    def _without_the_guilty(self, attempt: Callable[[], T], error: Exception) -> T:
        """Return the step with every kernel that it works with; note those that it fails with.

        Raises:
            Exception: `error`, if the step fails with all of them left out.
        """
        suspects = self._suspects()
        result = self._host_alone(attempt, suspects, error)
        is_stale, num_guilty = False, 0
        for bank, seed in suspects:
            bank.care.resting.discard(seed)
            try:
                result, is_stale = self._attempt(attempt), False
            except Exception as guilt:  # noqa: BLE001 - the same boundary
                escalate(guilt)
                bank.care.failed(seed, guilt, Remedy.DEGRADE)
                is_stale, num_guilty = True, num_guilty + 1
        if suspects and not num_guilty:
            suspects[0][0].care.notes.add(NOBODY, error, Remedy.RETRY)
        return self._once_more(attempt) if is_stale else result

    def _host_alone(
        self, attempt: Callable[[], T], suspects: list[tuple[KernelBank, str]], error: Exception
    ) -> T:
        """Leave all suspects out and return the step, or let them in again and raise `error`."""
        for bank, seed in suspects:
            bank.care.rest(seed)
        try:
            return self._attempt(attempt)
        except Exception as last:  # noqa: BLE001 - the same boundary
            escalate(last)
            for bank, seed in suspects:
                bank.care.resting.discard(seed)
            raise error from None

    def _once_more(self, attempt: Callable[[], T]) -> T:
        """Return the step as it worked before the last suspect failed it: its gradients are needed.

        One that fails now and then may fail now; it is one fewer with each time that this happens.
        """
        try:
            return self._attempt(attempt)
        except Exception as error:  # noqa: BLE001 - the same boundary
            escalate(error)
            return self._without_the_guilty(attempt, error)

    def _suspects(self) -> list[tuple[KernelBank, str]]:
        """Return the kernels that take part; those that are part of the network come first."""
        found = [
            (bank, seed)
            for bank in self._banks
            for seed in bank.kernels
            if seed not in bank.care.resting and seed not in bank.muted
        ]
        return sorted(found, key=lambda pair: pair[1] not in pair[0].care.fossils)

    def _remember(self) -> None:
        devices = [torch.cuda.get_rng_state(index) for index in self._devices]
        self._chance_before = (torch.get_rng_state(), devices)
        if self._statistics:
            torch._foreach_copy_(self._statistics_before, self._statistics)

    def _attempt(self, attempt: Callable[[], T]) -> T:
        """Try the step once more from where its first try began."""
        chance, devices = self._chance_before
        torch.set_rng_state(chance)
        for index, state in zip(self._devices, devices, strict=True):
            torch.cuda.set_rng_state(state, index)
        if self._statistics:
            torch._foreach_copy_(self._statistics, self._statistics_before)
        return attempt()
