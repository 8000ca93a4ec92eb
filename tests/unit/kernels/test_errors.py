import errno
import time
from collections.abc import Callable

import pytest
import torch

from esper.kernels.errors import (
    REMEDIES,
    EscalatedError,
    KeepsFailingError,
    Remedy,
    WrongOutputError,
    call_again,
    escalate,
    first_line,
    remedy_of,
)
from esper.kernels.kernel import KernelError
from esper.kernels.options import RecoveryOptions

FAST = RecoveryOptions(retries=3, backoff_s=0.0)


def accelerator_error(code: int) -> Exception:
    error = torch.AcceleratorError("CUDA error: refused\nCompile with `TORCH_USE_CUDA_DSA`")
    error.error_code = code
    return error


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (ConnectionResetError("gone"), Remedy.RETRY),
        (TimeoutError("slow"), Remedy.RETRY),
        (BlockingIOError("busy"), Remedy.RETRY),
        (OSError(errno.EBUSY, "busy"), Remedy.RETRY),
        (FileNotFoundError(errno.ENOENT, "missing"), Remedy.FALLBACK),
        (OSError(errno.ENOSPC, "no space"), Remedy.ESCALATE),
        (torch.AcceleratorError("CUDA error: unknown"), Remedy.ESCALATE),
        (accelerator_error(700), Remedy.ESCALATE),
        (accelerator_error(9), Remedy.FALLBACK),
        (RuntimeError("CUDA error: device-side assert triggered"), Remedy.ESCALATE),
        (MemoryError(), Remedy.DEGRADE),
        (torch.OutOfMemoryError("CUDA out of memory"), Remedy.DEGRADE),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), Remedy.DEGRADE),
        (KernelError("block1", 0, "conv", "raises"), Remedy.DEGRADE),
        (KeepsFailingError("3 times"), Remedy.CIRCUIT_BREAKER),
        (WrongOutputError("gave None"), Remedy.FALLBACK),
        (ZeroDivisionError("a user's mistake"), Remedy.FALLBACK),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), Remedy.FALLBACK),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.value,
)
def test_the_type_of_an_error_says_what_is_done(error: Exception, remedy: Remedy) -> None:
    assert remedy_of(error) is remedy


def test_a_real_lack_of_memory_on_the_cpu_is_known_by_its_words() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert remedy_of(caught.value) is Remedy.DEGRADE


def test_every_remedy_is_in_the_table() -> None:
    assert {remedy for _, remedy in REMEDIES} == set(Remedy)


def failing(errors: list[Exception]) -> Callable[[], str]:
    """Return a function that raises one of these errors a call, and then works."""
    left = iter(errors)

    def call() -> str:
        error = next(left, None)
        if error is not None:
            raise error
        return "done"

    return call


def test_what_passes_is_called_again_until_it_works() -> None:
    call = failing([ConnectionError("1"), TimeoutError("2")])
    assert call_again(call, FAST) == "done"


def test_the_last_of_three_retries_raises_what_it_met() -> None:
    call = failing([ConnectionError(str(number)) for number in range(1, 9)])
    with pytest.raises(ConnectionError, match=r"^3$"):
        call_again(call, FAST)


def test_what_another_try_cannot_mend_is_not_tried_again() -> None:
    call = failing([ConnectionError("1"), ZeroDivisionError("2")])
    with pytest.raises(ZeroDivisionError):
        call_again(call, FAST)
    assert call() == "done"


def test_each_pause_is_four_times_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    call_again(
        failing([ConnectionError("1"), ConnectionError("2")]), RecoveryOptions(backoff_s=0.05)
    )
    assert pauses == pytest.approx([0.05, 0.2, 0.8])


def test_a_run_that_cannot_go_on_says_so_in_one_line_and_reports_no_recovery() -> None:
    lost = RuntimeError("CUDA error: device-side assert triggered\nmany\nmore lines")
    with pytest.raises(EscalatedError) as caught:
        escalate(lost)
    assert str(caught.value) == (
        "the device is lost: RuntimeError: CUDA error: device-side assert triggered; "
        "what was saved is intact"
    )
    assert caught.value.__cause__ is lost
    assert not caught.value.recovery.recovered


def test_an_escalation_is_passed_on_as_it_is() -> None:
    first = EscalatedError(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(EscalatedError) as caught:
        escalate(first)
    assert caught.value is first
    assert "the disk is full" in str(first)


def test_other_errors_are_not_escalated() -> None:
    escalate(ValueError("a user's mistake"))


def test_of_an_errors_text_its_first_line_is_kept_cut_short() -> None:
    assert first_line(ValueError("one\ntwo")) == "one"
    assert len(first_line(ValueError("x" * 1000))) == 200
    assert first_line(ValueError()) == "no message"
