"""Steps that fail because of kernels are repeated as if those kernels did not exist."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam

from esper.growth.host import Host
from esper.kernels.errors import EscalatedError
from esper.kernels.options import RecoveryOptions
from esper.training.epoch import Epoch
from esper.training.options import Training
from tests.unit.growth.builders import CLASSES, batches, make_host, same, tensors
from tests.unit.growth.faulty import Trouble, bank_in, offered, plant

OPTIONS = RecoveryOptions(failures=3, retries=2, backoff_s=0.0)


@pytest.fixture
def troubles() -> Iterator[dict[str, Trouble]]:
    with offered("bad", "worse", "good") as blueprints:
        yield blueprints


def drawing_model() -> nn.Module:
    """Return a host with dropout, and with running statistics."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 6))
    layers = (nn.Linear(4, 4), body, nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, CLASSES))
    return nn.Sequential(*layers)


def make_network(*blueprints: str, alpha: float | None = 0.5) -> Host:
    host = make_host(drawing_model(), ["1"], example=torch.randn(7, 4), optimizer=Adam)
    for seed, blueprint in enumerate(blueprints):
        plant(host, "1", seed, blueprint, alpha=alpha)
    if blueprints:
        bank_in(host, "1").faults.options = OPTIONS
    return host


def train(host: Host, steps: int = 2, data: list[tuple[Tensor, Tensor]] | None = None) -> None:
    torch.manual_seed(7)
    options = Training(optimizer="adam", lr=0.1, clip_norm=1.0)
    drawn = batches(steps=steps) if data is None else data
    Epoch(options, 1, epochs=10, num_steps=steps).train(host.model, host.optimizer, drawn)


def trained_without(*blueprints: str, muted: int, alpha: float | None = 0.5) -> Host:
    """Return the network trained with one of its kernels muted from the start."""
    host = make_network(*blueprints, alpha=alpha)
    bank_in(host, "1").muted.add(str(muted))
    train(host)
    return host


def everything(host: Host) -> dict[str, Tensor]:
    """Return all weights, statistics and moments of the optimizer, those of kernels included."""
    tensors = {name: tensor.clone() for name, tensor in host.model.state_dict().items()}
    for number, parameter in enumerate(host.model.parameters()):
        moments = host.optimizer.state.get(parameter, {})
        tensors |= {f"{number}/{key}": value.clone() for key, value in moments.items()}
    return tensors


def faults(host: Host, seed: int | None = 0) -> list[tuple[str, str, int]]:
    taken = bank_in(host, "1").faults.take(seed)
    return [(fault.error, fault.remedy, fault.count) for fault in taken]


ERRORS = (
    RuntimeError("a user's mistake"),
    MemoryError("full"),
    torch.OutOfMemoryError("full"),
    NotImplementedError("no backward"),
)


@pytest.mark.parametrize("alpha", [None, 0.5], ids=["isolated", "blended"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_step_is_to_the_bit_that_of_a_network_without_the_kernel(
    troubles: dict[str, Trouble], alpha: float | None, error: Exception
) -> None:
    expected = trained_without("good", "bad", muted=1, alpha=alpha)
    host = make_network("good", "bad", alpha=alpha)
    troubles["bad"].backward = error
    train(host)
    assert same(everything(host), everything(expected))
    assert faults(host, 1) == [(type(error).__name__, "degrade", 1)]
    assert faults(host, 0) == []


def test_the_guilty_kernel_stays_out_until_the_epoch_is_over(troubles: dict[str, Trouble]) -> None:
    host = make_network("bad", "good")
    troubles["bad"].backward = RuntimeError("mistake")
    train(host, steps=3)
    # Once in the step that failed, once alone; never in the two steps after it.
    assert troubles["bad"].num_calls == 2
    # Beside the bad one, without it twice (alone, as the second suspect), and in two steps.
    assert troubles["good"].num_calls == 1 + 1 + 2
    assert bank_in(host, "1").faults.resting == {0}


@pytest.mark.parametrize("order", [("bad", "good", "worse"), ("worse", "bad", "good")])
def test_of_several_kernels_just_the_guilty_are_left_out(
    troubles: dict[str, Trouble], order: tuple[str, ...]
) -> None:
    host = make_network(*order)
    troubles["bad"].backward = RuntimeError("mistake")
    troubles["worse"].backward = ValueError("another")
    train(host)
    guilty = {seed for seed, name in enumerate(order) if name != "good"}
    assert bank_in(host, "1").faults.resting == guilty
    assert faults(host, order.index("bad")) == [("RuntimeError", "degrade", 1)]
    assert faults(host, order.index("worse")) == [("ValueError", "degrade", 1)]
    assert faults(host, order.index("good")) == []


def test_where_no_kernel_fails_again_the_whole_network_takes_the_step(
    troubles: dict[str, Trouble],
) -> None:
    expected, host = make_network("bad", "good"), make_network("bad", "good")
    train(expected)
    troubles["bad"].num_calls = 0
    troubles["bad"].backward, troubles["bad"].calls = RuntimeError("now and then"), {1}
    train(host)
    assert same(everything(host), everything(expected))
    assert bank_in(host, "1").faults.resting == set()
    assert faults(host, None) == [("RuntimeError", "retry", 1)]


def test_a_cause_that_passes_is_waited_for_before_a_kernel_is_suspected(
    troubles: dict[str, Trouble],
) -> None:
    expected, host = make_network("bad"), make_network("bad")
    train(expected)
    troubles["bad"].num_calls = 0
    troubles["bad"].backward, troubles["bad"].calls = ConnectionError("gone"), {1, 2}
    train(host)
    assert same(everything(host), everything(expected))
    assert troubles["bad"].num_calls == 3 + 1
    assert faults(host, None) == [("ConnectionError", "retry", 1)]


def test_a_cause_that_does_not_pass_is_the_kernels(troubles: dict[str, Trouble]) -> None:
    expected, host = trained_without("bad", muted=0), make_network("bad")
    troubles["bad"].backward = ConnectionError("gone")
    train(host)
    assert same(everything(host), everything(expected))
    assert faults(host) == [("ConnectionError", "degrade", 1)]


def wrong_batch() -> list[tuple[Tensor, Tensor]]:
    return [(torch.randn(6, 4), torch.full((6,), CLASSES + 7))]


@pytest.mark.parametrize("blueprints", [(), ("good",), ("good", "bad")])
def test_what_the_host_does_wrong_is_raised_as_it_is(
    troubles: dict[str, Trouble], blueprints: tuple[str, ...]
) -> None:
    host = make_network(*blueprints)
    with pytest.raises(IndexError, match="Target 10 is out of bounds"):
        train(host, data=wrong_batch())
    if blueprints:
        assert bank_in(host, "1").faults.resting == set()
        assert faults(host) == []


def test_the_hosts_error_is_raised_and_not_the_kernels_beside_it(
    troubles: dict[str, Trouble],
) -> None:
    host = make_network("bad")
    # Its forward is reached, and fails, after the kernel's: the labels are wrong as well.
    troubles["bad"].forward = RuntimeError("mistake")
    with pytest.raises(IndexError):
        train(host, data=wrong_batch())


@pytest.mark.parametrize(("fossil", "left_out"), [(1, 0), (0, 1)])
def test_what_is_part_of_the_network_stays_where_there_is_no_room_for_two(
    troubles: dict[str, Trouble], fossil: int, left_out: int
) -> None:
    host = make_network("bad", "good")
    bank = bank_in(host, "1")
    bank.faults.fossils.add(fossil)

    def fail(gradient: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("no room for two")

    def crowded(y: Tensor) -> Tensor:
        if not bank.faults.resting:
            y.register_hook(fail)
        return y

    troubles["bad"].gives = crowded
    train(host)
    assert bank.faults.resting == {left_out}


def test_a_lost_device_stops_the_run_with_one_line(troubles: dict[str, Trouble]) -> None:
    host = make_network("bad")
    troubles["bad"].backward = RuntimeError("CUDA error: device-side assert triggered")
    with pytest.raises(EscalatedError, match=r"^the device is lost"):
        train(host)
    assert troubles["bad"].num_calls == 1


def test_an_interrupt_is_never_caught(troubles: dict[str, Trouble]) -> None:
    host = make_network("bad")
    troubles["bad"].backward = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        train(host)


def test_where_recovery_is_off_a_step_is_tried_once(troubles: dict[str, Trouble]) -> None:
    host = make_network("bad")
    bank_in(host, "1").faults.options = None
    troubles["bad"].backward = RuntimeError("mistake")
    with pytest.raises(RuntimeError, match=r"^mistake$"):
        train(host)
    assert troubles["bad"].num_calls == 1


def test_a_kernel_that_breaks_the_layer_after_it_is_found(troubles: dict[str, Trouble]) -> None:
    host = make_network("bad", "good")
    expected = trained_without("bad", "good", muted=0)

    class Strange(Tensor):
        @classmethod
        def __torch_function__(cls, function: Any, *rest: Any, **more: Any) -> Any:
            if function is nn.functional.dropout:
                raise TypeError("no such function for a strange tensor")
            return super().__torch_function__(function, *rest, **more)

    troubles["bad"].gives = lambda y: y.as_subclass(Strange)
    train(host)
    assert same(everything(host), everything(expected))
    assert faults(host) == [("TypeError", "degrade", 1)]


@pytest.mark.parametrize("calls", [{1, 3}, {1, 3, 4}])
def test_kernels_that_fail_now_and_then_do_not_end_a_run(
    troubles: dict[str, Trouble], calls: set[int]
) -> None:
    host = make_network("bad", "worse")
    troubles["bad"].backward, troubles["bad"].calls = RuntimeError("now and then"), calls
    troubles["worse"].backward = RuntimeError("always")
    train(host, steps=4)
    assert 1 in bank_in(host, "1").faults.resting
    assert all(bool(tensor.isfinite().all()) for tensor in tensors(host.model).values())
