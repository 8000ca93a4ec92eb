"""Kernels that fail outside training: the forward pass raises, unless the caller reports it."""

import copy
import pickle
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from esper.contracts.event import EventKind
from esper.contracts.stage import SeedStage
from esper.growth.bank import guarded
from esper.growth.host import Host
from esper.kernels.errors import KernelFailedError
from esper.kernels.options import RecoveryOptions
from esper.safety.options import Safety
from tests.unit.growth.builders import make_host, make_input
from tests.unit.growth.faulty import Trouble, bank_in, offered, plant
from tests.unit.scripted import adapt, losses_and_hits, make_grower, script, train

LINE = (
    "kernel 'bad' of seed 0 in slot '1' failed outside training, where no kernel of the network "
    "is left out: ZeroDivisionError: mistake"
)


@pytest.fixture
def trouble() -> Iterator[Trouble]:
    with offered("bad") as found:
        yield found["bad"]


def fossil() -> Host:
    """Return a host with a fossilized kernel, and recovery on."""
    host = make_host("sequential", ["1"])
    plant(host, "1", 0, "bad")
    for stage in (SeedStage.SHADOWING, SeedStage.PROBATIONARY, SeedStage.FOSSILIZED):
        host.advance("1", 0, stage, None, "")
    faults = bank_in(host, "1").faults
    faults.options = RecoveryOptions(backoff_s=0.0)
    faults.fossils.add(0)
    return host


def test_a_kept_kernel_that_fails_raises_outside_training(trouble: Trouble) -> None:
    host, x = fossil(), make_input("sequential")
    trouble.forward = ZeroDivisionError("mistake")
    host.model.train()(x)
    with pytest.raises(KernelFailedError) as caught:
        host.model.eval()(x)
    assert str(caught.value) == LINE
    assert caught.value.__cause__ is trouble.forward


@pytest.mark.parametrize("is_recovering", [True, False])
def test_a_blended_kernel_raises_whether_or_not_there_is_a_grower(
    trouble: Trouble, is_recovering: bool
) -> None:
    host = make_host("sequential", ["1"])
    plant(host, "1", 0, "bad")
    if is_recovering:
        bank_in(host, "1").faults.options = RecoveryOptions(backoff_s=0.0)
    trouble.forward = ZeroDivisionError("mistake")
    with pytest.raises(KernelFailedError, match="seed 0 in slot '1'"):
        host.model.eval()(make_input("sequential"))


def test_a_kernel_bound_to_one_input_length_raises_at_another() -> None:
    body = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 6))
    model, x = nn.Sequential(body, nn.Linear(6, 3)), torch.randn(5, 7, 4)
    host = make_host(model, ["0"], example=x, placement="series")
    put_kernel_over_7_positions(host)
    host.model.eval()(torch.randn(5, 7, 4))
    with pytest.raises(KernelFailedError, match=r"seed 2 in slot '0' failed .*RuntimeError"):
        host.model(torch.randn(5, 9, 4))


def put_kernel_over_7_positions(host: Host) -> None:
    class OverPositions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(7, 7)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mixed: torch.Tensor = self.linear(x.transpose(1, 2)).transpose(1, 2)
            return mixed

    host.put_kernel("0", 2, OverPositions(), "mine")
    bank = bank_in(host, "0")
    bank.isolated.clear()
    bank.faults.options = RecoveryOptions()


def test_a_kept_kernel_that_rests_runs_outside_training(trouble: Trouble) -> None:
    host, x = fossil(), make_input("sequential")
    whole = host.model.eval()(x)
    bank_in(host, "1").faults.resting.add(0)
    assert not torch.equal(host.model.train()(x), whole)
    assert torch.equal(host.model.eval()(x), whole)
    with guarded(host.model):
        assert not torch.equal(host.model(x), whole)


def test_a_guarded_evaluation_leaves_the_kernel_out_and_logs_it(trouble: Trouble) -> None:
    host, x = fossil(), make_input("sequential")
    trouble.forward = ZeroDivisionError("mistake")
    bank = bank_in(host, "1")
    with guarded(host.model):
        mixed = host.model.eval()(x)
        copies = (copy.deepcopy(host.model), pickle.loads(pickle.dumps(host.model)))
    bank.muted.add("0")
    assert torch.equal(mixed, host.model(x))
    (fault,) = bank.faults.take(0)
    assert (fault.error, fault.count) == ("ZeroDivisionError", 1)
    bank.muted.clear()
    for network in (host.model, copies[0]):
        with pytest.raises(KernelFailedError):
            network(x)
    assert not any(getattr(module, "is_guarded", False) for module in copies[1].modules())


@pytest.mark.usefixtures("trouble")
def test_a_copy_trains_kernels_that_a_coin_left_out_of_the_step() -> None:
    host, x = fossil(), make_input("sequential")
    host.model.train()
    whole = host.model(x)
    bank_in(host, "1").tossed.add("0")
    for network in (copy.deepcopy(host.model), pickle.loads(pickle.dumps(host.model))):
        assert torch.equal(network(x), whole)
    assert not torch.equal(host.model(x), whole)


def test_a_guard_ends_with_an_error_too(trouble: Trouble) -> None:
    host = fossil()
    with pytest.raises(ValueError, match="mine"), guarded(host.model), guarded(host.model):
        raise ValueError("mine")
    assert not bank_in(host, "1").is_guarded


def test_a_grower_reports_what_fails_in_its_evaluation_and_a_user_sees_it_raise(
    trouble: Trouble,
) -> None:
    grower, told = make_grower(
        policy=script(e2=[adapt("0", 1)]), blueprint=("bad",), safety=Safety(max_cost=99.0)
    )
    # The kernel is looked at at age 4, and muted in evaluations before.
    for _ in range(5):
        train(grower.host.model, grower.host.optimizer)
        grower.step(losses_and_hits)
    assert grower.host.seed("0", 0).stage is SeedStage.SHADOWING
    train(grower.host.model, grower.host.optimizer)
    trouble.forward = ZeroDivisionError("mistake")
    grower.step(losses_and_hits)
    assert told.of(EventKind.RECOVERY)[0].message.startswith("kernel 'bad' of seed 0 in slot '0'")
    with pytest.raises(KernelFailedError):
        losses_and_hits(grower.host.model.eval())
