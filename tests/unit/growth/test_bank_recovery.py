"""Kernels that fail in a forward pass: the slot's output leaves them out."""

import copy
import errno
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from esper.growth.bank import guarded
from esper.growth.host import Host
from esper.kernels.errors import EscalatedError, WrongOutputError
from esper.kernels.options import RecoveryOptions
from tests.unit.growth.builders import make_host, make_input, make_model
from tests.unit.growth.faulty import Trouble, bank_in, offered, plant

Wrong = Callable[[Tensor], Any]


@pytest.fixture
def troubles() -> Iterator[dict[str, Trouble]]:
    with offered("bad", "good") as found:
        yield found


def make_slot(
    *blueprints: str, alpha: float | None = 0.5, options: RecoveryOptions | None = None
) -> Host:
    """Return a host with a kernel of each blueprint in its slot, and recovery on."""
    host = make_host("sequential", ["1"])
    for seed, blueprint in enumerate(blueprints):
        plant(host, "1", seed, blueprint, alpha=alpha)
    bank_in(host, "1").faults.options = options or RecoveryOptions(backoff_s=0.0)
    return host


def output(host: Host) -> Tensor:
    found: Tensor = host.model.train()(make_input("sequential"))
    return found


def bare_output() -> Tensor:
    found: Tensor = make_model("sequential")(make_input("sequential"))
    return found


def faults(host: Host, seed: int = 0) -> list[tuple[str, str, int]]:
    found = bank_in(host, "1").faults.take(seed)
    return [(fault.error, fault.remedy, fault.count) for fault in found]


ERRORS = (ZeroDivisionError("mistake"), MemoryError("full"), torch.OutOfMemoryError("full"))
WRONG: dict[str, Wrong] = {
    "one feature": lambda y: y[:, :1],
    "too few rows": lambda y: y[:1],
    "another dtype": lambda y: y.double(),
    "whole numbers": lambda y: y.long(),
    "nothing": lambda y: None,
    "a pair": lambda y: (y, y),
}


@pytest.mark.parametrize("alpha", [None, 0.5], ids=["isolated", "blended"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_kernel_that_raises_leaves_the_hosts_own_output_to_the_bit(
    troubles: dict[str, Trouble], alpha: float | None, error: Exception
) -> None:
    host = make_slot("bad", alpha=alpha)
    troubles["bad"].forward = error
    assert torch.equal(output(host), bare_output())
    strategy = "fallback" if isinstance(error, ZeroDivisionError) else "degrade"
    assert faults(host) == [(type(error).__name__, strategy, 1)]


@pytest.mark.parametrize("alpha", [None, 0.5], ids=["isolated", "blended"])
@pytest.mark.parametrize("gives", WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_added_counts_as_a_failure(
    troubles: dict[str, Trouble], alpha: float | None, gives: Wrong
) -> None:
    host = make_slot("bad", alpha=alpha)
    troubles["bad"].gives = gives
    assert torch.equal(output(host), bare_output())
    assert faults(host) == [("WrongOutputError", "fallback", 1)]


def test_a_kernel_that_works_changes_the_output_and_logs_no_fault(
    troubles: dict[str, Trouble],
) -> None:
    host = make_slot("good")
    assert not torch.equal(output(host), bare_output())
    assert faults(host) == []


@pytest.mark.parametrize("bad_seed", [0, 1])
def test_the_other_kernels_of_the_slot_take_part(
    troubles: dict[str, Trouble], bad_seed: int
) -> None:
    names = ["good", "good"]
    names[bad_seed] = "bad"
    host = make_slot(*names)
    bank_in(host, "1").muted.add(str(bad_seed))
    without = output(host)
    bank_in(host, "1").muted.clear()
    troubles["bad"].forward = ValueError("mistake")
    assert torch.equal(output(host), without)
    assert not torch.equal(without, bare_output())


def test_a_failed_kernel_takes_part_again_at_the_next_call(troubles: dict[str, Trouble]) -> None:
    host = make_slot("bad")
    whole = output(host)
    troubles["bad"].forward, troubles["bad"].calls = ValueError("mistake"), {2}
    assert torch.equal(output(host), bare_output())
    assert torch.equal(output(host), whole)


def test_the_third_failure_is_the_last_call_until_it_is_allowed_again(
    troubles: dict[str, Trouble],
) -> None:
    host = make_slot("bad", options=RecoveryOptions(failures=3))
    troubles["bad"].forward = ValueError("mistake")
    for _ in range(5):
        assert torch.equal(output(host), bare_output())
    assert troubles["bad"].num_calls == 3
    assert faults(host) == [("ValueError", "fallback", 3)]
    bank_in(host, "1").faults.allow(0, 1)
    output(host)
    assert troubles["bad"].num_calls == 4


def test_a_kernel_out_of_memory_is_left_out_at_once(troubles: dict[str, Trouble]) -> None:
    host = make_slot("bad", "good")
    troubles["bad"].forward = torch.OutOfMemoryError("full")
    for _ in range(3):
        output(host)
    assert troubles["bad"].num_calls == 1
    assert troubles["good"].num_calls == 3


def test_what_may_pass_is_called_again_and_is_no_failure(troubles: dict[str, Trouble]) -> None:
    host = make_slot("bad", options=RecoveryOptions(failures=1, backoff_s=0.0))
    whole = output(host)
    troubles["bad"].forward, troubles["bad"].calls = ConnectionError("gone"), {2, 3}
    assert torch.equal(output(host), whole)
    assert troubles["bad"].num_calls == 4
    assert faults(host) == [("ConnectionError", "retry", 1)]
    assert bank_in(host, "1").faults.resting == set()


@pytest.mark.parametrize(
    ("then", "strategy"), [(None, "fallback"), (MemoryError("full"), "degrade")]
)
def test_what_does_not_pass_is_a_failure_after_its_retries(
    troubles: dict[str, Trouble], then: Exception | None, strategy: str
) -> None:
    host = make_slot("bad", options=RecoveryOptions(retries=2, backoff_s=0.0))

    def lose(_: Tensor) -> None:
        raise ConnectionError("gone") if trouble.num_calls == 1 or then is None else then

    trouble = troubles["bad"]
    trouble.gives = lose
    assert torch.equal(output(host), bare_output())
    assert trouble.num_calls == (3 if then is None else 2)
    error = "ConnectionError" if then is None else "MemoryError"
    assert faults(host) == [(error, strategy, 1)]


def test_a_lost_device_or_a_full_disk_stops_with_one_line(troubles: dict[str, Trouble]) -> None:
    host = make_slot("bad")
    troubles["bad"].forward = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(EscalatedError, match=r"^the disk is full: OSError: .*No space left"):
        output(host)


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(1)], ids=["ctrl-c", "exit"])
def test_an_interrupt_is_never_caught(troubles: dict[str, Trouble], stop: BaseException) -> None:
    host = make_slot("bad")
    troubles["bad"].forward = stop
    with pytest.raises(type(stop)):
        output(host)
    assert faults(host) == []


def test_where_recovery_is_off_the_error_is_raised(
    troubles: dict[str, Trouble],
) -> None:
    host = make_slot("bad")
    bank_in(host, "1").faults.options = None
    troubles["bad"].gives = lambda y: y[:1]
    with pytest.raises(WrongOutputError, match=r"gave shape \(1, 6\), must be \(7, 6\)"):
        output(host)


def test_autocast_may_give_another_precision_than_the_host(troubles: dict[str, Trouble]) -> None:
    host = make_slot("bad")
    troubles["bad"].gives = Tensor.float
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output(host)
    assert faults(host) == []
    troubles["bad"].gives = Tensor.double
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output(host)
    assert faults(host) == [("WrongOutputError", "fallback", 1)]


def test_a_lower_precision_does_no_harm(troubles: dict[str, Trouble]) -> None:
    host = make_slot("bad")
    troubles["bad"].gives = Tensor.bfloat16
    assert output(host).dtype is torch.float32
    assert faults(host) == []


def test_no_tensor_of_a_failed_call_is_kept(troubles: dict[str, Trouble]) -> None:
    host = make_slot("bad")
    trouble = troubles["bad"]
    trouble.forward = ValueError("mistake")
    output(host)
    assert trouble.forward.__traceback__ is not None
    notes = bank_in(host, "1").faults.state()["faults"]
    assert notes == [
        {
            "seed": 0,
            "error": "ValueError",
            "remedy": "fallback",
            "message": "mistake",
            "count": 1,
        }
    ]


def test_a_copy_has_faults_of_its_own(troubles: dict[str, Trouble]) -> None:
    host = make_slot("bad")
    twin = copy.deepcopy(host.model)
    troubles["bad"].forward = ValueError("mistake")
    for _ in range(3):
        twin.train()(make_input("sequential"))
    assert faults(host) == []
    assert bank_in(host, "1").faults.resting == set()


def test_failures_are_part_of_a_banks_bookkeeping(troubles: dict[str, Trouble]) -> None:
    host, other = make_slot("bad"), make_slot("bad")
    troubles["bad"].forward = ValueError("mistake")
    for _ in range(2):
        output(host)
    bank_in(other, "1").take_bookkeeping(bank_in(host, "1").bookkeeping())
    output(other)
    assert bank_in(other, "1").faults.resting == {0}
    assert faults(other) == [("ValueError", "fallback", 3)]


def nested(features: int) -> Tensor:
    """Return a padded batch as torch's transformer encoder passes it in eval mode."""
    x = torch.randn(2, 3, features)
    return torch.nested.as_nested_tensor([x[0], x[1, :2]])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("gives", [lambda y: y[..., :1], lambda y: None, lambda y: y[:1]])
def test_wrong_output_is_found_in_nested_batches_too(
    troubles: dict[str, Trouble], gives: Wrong
) -> None:
    host = make_slot("bad")
    troubles["bad"].gives = gives
    host_output = nested(6)
    with torch.no_grad(), guarded(host.model):
        mixed = bank_in(host, "1").eval().mix(host_output, nested(4))
    assert mixed is host_output
    assert faults(host) == [("WrongOutputError", "fallback", 1)]
