"""Map errors to remedies: one table, `REMEDIES`, read from the top.

    retry            call again after a pause: the cause is external and may be temporary
    fallback         use the host's output only, for this one call
    degrade          leave the kernel out until the end of the epoch
    circuit_breaker  let the kernel rest for some epochs, then try it for one
    escalate         stop the run with one line: all later results would be wrong

Each failure also counts for the kernel and for its blueprint (`esper.safety.recovery`).
"""

import errno
import time
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

import torch

from esper.contracts.errors import EsperError
from esper.contracts.event import Recovery
from esper.kernels.kernel import KernelError
from esper.kernels.options import RecoveryOptions

T = TypeVar("T")
_LONGEST_MESSAGE = 200
_BACKOFF_FACTOR = 4.0
_HARMLESS_CODES = frozenset({1, 2, 9, 98, 209, 701})
"""CUDA's codes of refused calls (value, memory, launch size) after which the device still works."""
_LOST_WORDS = ("device-side assert", "illegal memory access", "device lost", "device is lost")
_FULL_CODES = frozenset({errno.ENOSPC, errno.EDQUOT})
_PASSING_CODES = frozenset(
    {errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE}
)


class Remedy(StrEnum):
    """What to do about a failure."""

    RETRY = "retry"
    FALLBACK = "fallback"
    DEGRADE = "degrade"
    CIRCUIT_BREAKER = "circuit_breaker"
    ESCALATE = "escalate"


class KeepsFailingError(EsperError):
    """A kernel failed so often that it rests for some epochs."""


class WrongOutputError(EsperError):
    """A kernel returned something that cannot be added to its host's output."""


class KernelFailedError(EsperError):
    """A kernel of the network failed outside training, where none may be left out."""

    def __init__(
        self, slot: str | None, seed: int, blueprint: str | None, error: Exception
    ) -> None:
        kernel = "kernel" if blueprint is None else f"kernel '{blueprint}'"
        place = "" if slot is None else f" in slot '{slot}'"
        cause = f"{type(error).__name__}: {first_line(error)}"
        super().__init__(
            f"{kernel} of seed {seed}{place} failed outside training, where no kernel of the "
            f"network is left out: {cause}"
        )


class EscalatedError(EsperError):
    """The run has to stop.

    recovery: the event that reports it.
    """

    def __init__(self, error: Exception) -> None:
        what = "the disk is full" if is_disk_full(error) else "the device is lost"
        message = f"{what}: {type(error).__name__}: {first_line(error)}"
        super().__init__(f"{message}; what was saved is intact")
        self.recovery = Recovery(
            where="training",
            error=type(error).__name__,
            strategy=Remedy.ESCALATE,
            recovered=False,
            message=message,
        )


def is_device_lost(error: Exception) -> bool:
    """Return whether the device that raised `error` is unusable."""
    if isinstance(error, torch.AcceleratorError):
        return getattr(error, "error_code", None) not in _HARMLESS_CODES
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _LOST_WORDS)


def is_disk_full(error: Exception) -> bool:
    """Return whether the disk or its quota is full."""
    return isinstance(error, OSError) and error.errno in _FULL_CODES


def is_out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out; for the CPU torch raises a plain `RuntimeError`."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def is_passing(error: Exception) -> bool:
    """Return whether the cause may be temporary."""
    if isinstance(error, ConnectionError | TimeoutError | BlockingIOError | InterruptedError):
        return True
    return isinstance(error, OSError) and error.errno in _PASSING_CODES


REMEDIES: tuple[tuple[type[Exception] | Callable[[Exception], bool], Remedy], ...] = (
    (EscalatedError, Remedy.ESCALATE),
    (is_device_lost, Remedy.ESCALATE),
    (is_disk_full, Remedy.ESCALATE),
    (is_passing, Remedy.RETRY),
    (is_out_of_memory, Remedy.DEGRADE),
    (KernelError, Remedy.DEGRADE),
    (KeepsFailingError, Remedy.CIRCUIT_BREAKER),
    (Exception, Remedy.FALLBACK),
)
"""The first line whose type or predicate matches an error gives its remedy."""


def remedy_of(error: Exception) -> Remedy:
    """Return the remedy for an error."""
    for kind, remedy in REMEDIES:
        if isinstance(error, kind) if isinstance(kind, type) else kind(error):
            return remedy
    raise AssertionError("the last line fits any exception")


def escalate(error: Exception) -> None:
    """Raise `EscalatedError` if `error` must stop the run; else do nothing."""
    if isinstance(error, EscalatedError):
        raise error
    if remedy_of(error) is Remedy.ESCALATE:
        raise EscalatedError(error) from error


def call_again(call: Callable[[], T], options: RecoveryOptions) -> T:
    """Repeat a failed call until it succeeds, after pauses that grow fourfold.

    Raises:
        Exception: the error of the last retry, or the first one whose remedy is not `RETRY`.
    """
    for number in range(options.retries):
        time.sleep(options.backoff_s * _BACKOFF_FACTOR**number)
        try:
            return call()
        except OSError as error:
            if number == options.retries - 1 or remedy_of(error) is not Remedy.RETRY:
                raise
    raise AssertionError("retries are >= 1")


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, cut to 200 characters."""
    text = str(error).strip()
    return text.splitlines()[0][:_LONGEST_MESSAGE] if text else "no message"
