"""What is done about an error, by its type: one table, read from the top.

    retry            call again, with pauses: the cause is outside and may pass
    fallback         the host's output only, for this one call
    degrade          the slot goes on with the kernels that work, until the epoch is over
    circuit_breaker  the kernel rests some epochs, then is tried once
    escalate         stop with one line: nothing that comes after it would be right

Whatever is done, the failure counts, for the kernel and for its blueprint (`recovery`).
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
from esper.kernels.options import Recover

T = TypeVar("T")
_LONGEST_MESSAGE = 200
_BACKOFF_FACTOR = 4.0
_HARMLESS_CODES = frozenset({1, 2, 9, 98, 209, 701})
"""CUDA's codes of calls that were refused (value, memory, launch size): the device still works."""
_LOST_WORDS = ("device-side assert", "illegal memory access", "device lost", "device is lost")
_FULL_CODES = frozenset({errno.ENOSPC, errno.EDQUOT})
_PASSING_CODES = frozenset(
    {errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE}
)


class Remedy(StrEnum):
    """What is done about a failure."""

    RETRY = "retry"
    FALLBACK = "fallback"
    DEGRADE = "degrade"
    CIRCUIT_BREAKER = "circuit_breaker"
    ESCALATE = "escalate"


class KeepsFailingError(EsperError):
    """A kernel has failed so often in a row that it is left alone for a while."""


class WrongOutputError(EsperError):
    """A kernel gave something that cannot be added to its host's output."""


class EscalatedError(EsperError):
    """A run cannot go on.  recovery: what to tell of it."""

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
    """Return whether nothing can be computed any more on the device that raised."""
    if isinstance(error, torch.AcceleratorError):
        return getattr(error, "error_code", None) not in _HARMLESS_CODES
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _LOST_WORDS)


def is_disk_full(error: Exception) -> bool:
    """Return whether there was no room to write."""
    return isinstance(error, OSError) and error.errno in _FULL_CODES


def is_out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out; on the cpu torch says so in words only."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def is_passing(error: Exception) -> bool:
    """Return whether the cause may be gone at the next try."""
    if isinstance(error, ConnectionError | TimeoutError | BlockingIOError | InterruptedError):
        return True
    return isinstance(error, OSError) and error.errno in _PASSING_CODES


STRATEGIES: tuple[tuple[type[Exception] | Callable[[Exception], bool], Remedy], ...] = (
    (EscalatedError, Remedy.ESCALATE),
    (is_device_lost, Remedy.ESCALATE),
    (is_disk_full, Remedy.ESCALATE),
    (is_passing, Remedy.RETRY),
    (is_out_of_memory, Remedy.DEGRADE),
    (KernelError, Remedy.DEGRADE),
    (KeepsFailingError, Remedy.CIRCUIT_BREAKER),
    (Exception, Remedy.FALLBACK),
)
"""The first line whose type or predicate an error meets says what is done."""


def remedy_of(error: Exception) -> Remedy:
    """Return what the table says about an error."""
    for kind, strategy in STRATEGIES:
        if isinstance(error, kind) if isinstance(kind, type) else kind(error):
            return strategy
    raise AssertionError("the last line takes any exception")


def escalate(error: Exception) -> None:
    """Raise `EscalatedError` if the run cannot go on after `error`; else do nothing."""
    if isinstance(error, EscalatedError):
        raise error
    if remedy_of(error) is Remedy.ESCALATE:
        raise EscalatedError(error) from error


def call_again(call: Callable[[], T], options: Recover) -> T:
    """Call what has just failed again until it works, with longer and longer pauses.

    Raises:
        Exception: what the last call raised, or the first that another try cannot mend.
    """
    pause = options.backoff_s
    for left in reversed(range(options.retries)):
        time.sleep(pause)
        pause *= _BACKOFF_FACTOR
        try:
            return call()
        except OSError as error:
            if not left or remedy_of(error) is not Remedy.RETRY:
                raise
    raise AssertionError("retries are >= 1")


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, cut short: the device's take many."""
    text = str(error).strip()
    return text.splitlines()[0][:_LONGEST_MESSAGE] if text else "no message"
