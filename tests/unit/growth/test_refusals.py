"""Models, inputs and optimizers that cannot grow are refused by name."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR, StepLR
from torch.testing._internal.distributed.fake_pg import FakeStore

import esper
from esper.contracts.errors import ConfigError
from esper.growth.prepare import HostSetup, prepare
from esper.safety.options import Safety

X = torch.randn(4, 4)


def make_model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 3))


def refused(
    message: str,
    model: Any = None,
    example: Any = X,
    optimizer: Any = None,
    schedulers: Any = (),
) -> None:
    """Check that a host is refused with `message`, and that its parts stay as they were."""
    model = make_model() if model is None else model
    optimizer = SGD(model.parameters(), lr=0.1) if optimizer is None else optimizer
    before = dict(vars(optimizer))
    with pytest.raises(ConfigError, match=message) as caught:
        prepare(model, optimizer, example, HostSetup(schedulers=schedulers))
    assert "\n" not in str(caught.value)
    assert vars(optimizer) == before
    assert not getattr(optimizer, "_optimizer_step_pre_hooks", None)


@pytest.mark.parametrize(
    ("example", "kind"),
    [
        ({"input_ids": X}, "a dict"),
        ((X, X), "a tuple"),
        ([X], "a list"),
        (4, "a int"),
        (None, "a NoneType"),
        (X.numpy(), "a ndarray"),
        (torch.empty(0, 4), r"at least one sample, got a tensor of shape \(0, 4\)"),
        (torch.tensor(1.0), r"at least one sample, got a tensor of shape \(\)"),
    ],
)
def test_an_example_must_be_one_batch(example: Any, kind: str) -> None:
    refused(f"^example_input must be .*{kind}", example=example)


@pytest.mark.parametrize("model", [None, "model", make_model], ids=type)
def test_a_model_must_be_a_module(model: Any) -> None:
    with pytest.raises(ConfigError, match=r"^model must be an nn\.Module, got a "):
        prepare(model, SGD(make_model().parameters(), lr=0.1), X, HostSetup())


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    "script",
    [torch.jit.script, lambda module: torch.jit.trace(module, torch.ones(2, 4))],
    ids=["script", "trace"],
)
def test_a_scripted_module_is_refused(script: Callable[[nn.Module], nn.Module]) -> None:
    whole, part = script(make_model()), make_model()
    part[0] = script(nn.Linear(4, 6))
    refused("^the model is a scripted module", whole)
    refused("^its module '0' is a scripted module", part)


@pytest.mark.filterwarnings("ignore:Using `torch.compile.module.` when there are global hooks")
def test_a_part_under_compile_is_refused_and_a_whole_model_is_not() -> None:
    model = make_model()
    model[0] = torch.compile(model[0], backend="eager")
    refused("^its module '0' is under torch.compile by itself", model)
    whole = torch.compile(make_model(), backend="eager")
    assert len(prepare(whole, SGD(whole.parameters(), lr=0.1), X, HostSetup()).slots) == 1


@pytest.fixture
def one_process() -> Iterator[None]:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.fixture
def two_processes() -> Iterator[None]:
    """This process as the first of two, of which torch only pretends that the other runs."""
    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    yield
    distributed.destroy_process_group()


class Wrapper(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x)
        return out


@pytest.mark.usefixtures("one_process")
def test_a_model_in_several_processes_is_refused_by_its_name() -> None:
    refused("^the model is a DistributedDataParallel", DistributedDataParallel(make_model()))
    inner = Wrapper(DistributedDataParallel(make_model()))
    refused("^its module 'inner' is a DistributedDataParallel", inner)
    alone = make_model()
    assert prepare(alone, SGD(alone.parameters(), lr=0.1), X, HostSetup()).slots


@pytest.mark.usefixtures("two_processes")
def test_sharded_models_and_several_processes_are_refused() -> None:
    refused("^the model is a FSDPModule", _sharded(make_model()))
    refused("^torch.distributed runs with 2 processes")
    model = make_model()
    with pytest.raises(ConfigError, match=r"^torch\.distributed runs with 2 processes"):
        esper.Grower(model, SGD(model.parameters(), lr=0.1), example_input=X, epochs=2)


def test_several_processes_are_refused_at_a_step_too(request: pytest.FixtureRequest) -> None:
    model = make_model()
    grower = esper.Grower(model, SGD(model.parameters(), lr=0.1), example_input=X, epochs=2)
    request.getfixturevalue("two_processes")
    with pytest.raises(ConfigError, match=r"^torch\.distributed runs with 2 processes"):
        grower.step(lambda net: net(X).square().mean(1))
    assert grower.epoch == 0


def _sharded(model: nn.Module) -> nn.Module:
    mesh = distributed.init_device_mesh("cpu", (2,))
    fully_shard(model, mesh=mesh)
    return model


def test_an_optimizer_must_be_the_models_own() -> None:
    model, other = make_model(), make_model()
    refused(
        "^the optimizer is of another model: none of its 4 parameters is in Sequential",
        model,
        optimizer=Adam(other.parameters()),
    )
    both = Adam([{"params": model.parameters()}, {"params": other[0].parameters()}])
    refused("^2 of the optimizer's 6 parameters are not in Sequential", model, optimizer=both)
    part = Adam(model[2].parameters())
    assert prepare(model, part, X, HostSetup()).slots


@pytest.mark.parametrize("optimizer", ["adam", Adam, {}], ids=type)
def test_an_optimizer_must_be_one_of_torch(optimizer: Any) -> None:
    model = make_model()
    with pytest.raises(ConfigError, match=r"^optimizer must be a torch\.optim\.Optimizer, got a"):
        prepare(model, optimizer, X, HostSetup())


def test_a_scheduler_must_be_of_this_optimizer() -> None:
    model = make_model()
    optimizer, other = SGD(model.parameters(), lr=0.1), SGD(model.parameters(), lr=0.1)
    wrong = StepLR(other, 1)
    refused(
        "^schedulers must be the optimizer's own, got a StepLR of another",
        model,
        optimizer=optimizer,
        schedulers=[wrong],
    )
    refused(
        "^schedulers must be learning rate schedulers of torch, got a str",
        model,
        optimizer=optimizer,
        schedulers=["cosine"],
    )


class WrappedOptimizer(Optimizer):
    """A wrapper of the shape that `accelerate` gives: an optimizer that was never initialized."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.scaler = None

    @property
    def param_groups(self) -> Any:
        return self.optimizer.param_groups

    @property
    def state(self) -> Any:
        return self.optimizer.state

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.optimizer.zero_grad(set_to_none)

    def step(self, closure: Any = None) -> Any:
        return self.optimizer.step(closure)


class WrappedScheduler:
    """The same for a scheduler."""

    def __init__(self, scheduler: LambdaLR) -> None:
        self.scheduler = scheduler

    def step(self) -> None:
        self.scheduler.step()


def test_a_wrapped_optimizer_grows_like_the_one_in_it() -> None:
    y, weights = torch.tensor([0, 1, 2, 0]), []
    for is_wrapped in (False, True):
        torch.manual_seed(0)
        model = make_model()
        inner = Adam(model.parameters(), lr=0.02)
        schedule = LambdaLR(inner, lambda epoch: 0.9**epoch)
        optimizer = WrappedOptimizer(inner) if is_wrapped else inner
        scheduler: Any = WrappedScheduler(schedule) if is_wrapped else schedule
        grower = esper.Grower(
            model,
            optimizer,
            example_input=X,
            epochs=8,
            schedulers=[scheduler],
            policy="schedule",
            safety=Safety(max_cost=9.0),
        )
        for _ in range(8):
            for _ in range(3):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(X), y).backward()
                optimizer.step()
            scheduler.step()
            grower.step(lambda net: nn.functional.cross_entropy(net(X), y, reduction="none"))
        assert grower.host.global_step == 24
        assert sum(seed.activations for seed in grower.host.seeds()) > 0
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*weights)
