"""Kernels are the same whether they were prepared ahead, cached, or neither."""

import threading
from collections.abc import Iterator
from concurrent.futures import wait
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from esper.contracts.slot import SlotKind
from esper.growth.host import Host
from esper.growth.requests import next_requests
from esper.kernels import pipeline as pipeline_module
from esper.kernels.kernel import Kernel, KernelError
from esper.kernels.options import Kernels
from esper.kernels.pipeline import KernelPipeline, build_kernel
from tests.unit.growth.builders import make_host
from tests.unit.kernels.builders import function, recipe_of, registered


@pytest.fixture
def host() -> Host:
    return make_host("mlp")


@pytest.fixture
def pipelines() -> Iterator[Any]:
    made = []

    def make(**budgets: Any) -> KernelPipeline:
        made.append(KernelPipeline(Kernels(), 0, **budgets))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.close()
    assert not [each for each in threading.enumerate() if each.name.startswith("esper-kernels")]


@pytest.fixture
def all_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat every blueprint that was built before as slow to build."""
    monkeypatch.setattr(pipeline_module, "SLOW_MS", 0.0)


def prepare(pipeline: KernelPipeline, host: Host) -> None:
    """Prepare the kernels that may be needed next, and wait for them."""
    pipeline.ahead(next_requests(host, 0))
    wait(pipeline._background._futures.values(), timeout=30)


def same(one: Kernel, other: Kernel) -> bool:
    pairs = zip(one.module.state_dict().items(), other.module.state_dict().items(), strict=True)
    facts = [(k.blueprint, k.gate, k.parameters, k.trainable, k.flops) for k in (one, other)]
    return facts[0] == facts[1] and all(
        name == name_too and torch.equal(weight, weight_too)
        for (name, weight), (name_too, weight_too) in pairs
    )


@pytest.mark.usefixtures("all_are_slow")
@pytest.mark.parametrize("name", ["mlp", "cnn", "transformer"])
def test_a_kernel_is_the_same_however_it_was_made(name: str, pipelines: Any) -> None:
    host = make_host(name)
    ahead, here = pipelines(), pipelines()
    requests = list(next_requests(host, 0))
    assert len(requests) >= 4
    for request in requests:
        ahead.take(request)
    prepare(ahead, host)
    for request in requests:
        kernels = [pipeline.take(request) for pipeline in (ahead, here)]
        assert [kernel.work.ahead_ms is None for kernel in kernels] == [False, True]
        assert kernels[0].work.validate_ms is None
        assert same(*kernels)


def test_quick_blueprints_are_not_prepared_and_no_thread_is_started(
    pipelines: Any, host: Host
) -> None:
    pipeline, before = pipelines(), threading.active_count()
    request = host.request("block1", 0, "mlp", 0)
    pipeline.take(request)
    prepare(pipeline, host)
    assert threading.active_count() == before
    assert pipeline.take(request).work.ahead_ms is None


@pytest.mark.usefixtures("all_are_slow")
def test_one_that_was_prepared_is_handed_over_once(pipelines: Any, host: Host) -> None:
    pipeline, request = pipelines(), host.request("block1", 0, "mlp", 0)
    assert pipeline.take(request).work.ahead_ms is None
    prepare(pipeline, host)
    first, again = (pipeline.take(request) for _ in range(2))
    assert first.work.ahead_ms is not None
    assert again.work.ahead_ms is None
    assert first.module is not again.module
    assert same(first, again)


@pytest.mark.usefixtures("all_are_slow")
def test_what_is_no_longer_wanted_is_dropped(pipelines: Any, host: Host) -> None:
    pipeline, request = pipelines(), host.request("block1", 0, "mlp", 0)
    pipeline.take(request)
    prepare(pipeline, host)
    pipeline.ahead(())
    assert pipeline.take(request).work.ahead_ms is None


@pytest.mark.usefixtures("all_are_slow")
def test_no_more_is_kept_ready_than_fits(
    pipelines: Any, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = pipelines()
    for request in next_requests(host, 0):
        pipeline.take(request)
    # block1 leads from 4 to 8 features: mlp 4 * 8 + 8 + 8 * 8 + 8 weights of 4 bytes.
    monkeypatch.setattr(pipeline_module, "AHEAD_MB", 112 * 4 / 2**20)
    prepare(pipeline, host)
    ready = [(request.slot, request.seed) for request in pipeline._background._futures]
    assert ready == [("block1", 0)]


def test_each_activation_has_weights_of_its_own(pipelines: Any, host: Host) -> None:
    pipeline = pipelines()
    first = pipeline.take(host.request("block1", 0, "mlp", 0))
    host.seed("block1", 0).activations = 1
    second = pipeline.take(host.request("block1", 0, "mlp", 0))
    assert not torch.equal(first.module[0].weight, second.module[0].weight)


@pytest.mark.usefixtures("all_are_slow")
@pytest.mark.parametrize(
    ("fields", "thread"), [({}, "MainThread"), ({"thread_safe": True}, "esper-kernels_0")]
)
def test_a_users_kernel_is_prepared_only_where_its_author_says_that_it_may(
    pipelines: Any, host: Host, fields: dict[str, Any], thread: str
) -> None:
    def build(kind: SlotKind, in_shape: Any, out_shape: Any) -> nn.Module:
        layer = nn.Linear(in_shape[-1], out_shape[-1])
        layer.built_in = threading.current_thread().name  # type: ignore[assignment]
        return layer

    recipe = recipe_of(build, **fields)
    host.seed("block1", 0).bound = recipe.name
    with registered(recipe):
        pipeline, request = pipelines(), host.request("block1", 0, recipe.name, 0)
        pipeline.take(request)
        prepare(pipeline, host)
        kernel = pipeline.take(request)
    assert kernel.module.built_in == thread


@pytest.mark.usefixtures("all_are_slow")
def test_one_that_draws_what_only_a_global_generator_gives_is_made_on_demand(
    pipelines: Any, host: Host
) -> None:
    class Dropping(nn.Linear):
        def __init__(self, before: int, after: int) -> None:
            super().__init__(before, after)
            with torch.no_grad():
                dropped = torch.native_dropout(self.weight, 0.5, True)[0]
                self.weight.copy_(dropped)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    recipe = recipe_of(lambda k, i, o: Dropping(i[-1], o[-1]), thread_safe=True)
    host.seed("block1", 0).bound = recipe.name
    state = torch.get_rng_state()
    with registered(recipe):
        pipeline, request = pipelines(), host.request("block1", 0, recipe.name, 0)
        first = pipeline.take(request)
        prepare(pipeline, host)
        again = pipeline.take(request)
    assert again.work.ahead_ms is None
    assert same(first, again)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("blueprint", "message"),
    [
        ("mpl", "cannot be built: ValueError: unknown blueprint 'mpl'; did you mean mlp"),
        (
            "conv",
            r"cannot be built: ValueError: it does not fit a dense in parallel that leads from "
            r"\(4,\) to \(8,\)",
        ),
        ("raising", "cannot be built: ZeroDivisionError: a user's mistake"),
        ("misshapen", r"is not sane: shape not measured \(\(4, 8\), got \(4, 9\)\)"),
        ("huge", r"costs too much: parameters 5e\+12 \(<= 1e\+06\)"),
    ],
)
def test_a_refusal_says_what_was_asked_for_and_why_not(
    pipelines: Any, host: Host, blueprint: str, message: str
) -> None:
    def raising(*_: Any) -> nn.Module:
        raise ZeroDivisionError("a user's mistake")

    recipes = [
        recipe_of(raising, name="raising"),
        recipe_of(lambda *_: nn.Linear(4, 9), name="misshapen"),
        recipe_of(lambda *_: nn.Linear(4, 10**12), name="huge"),
    ]
    state = torch.get_rng_state()
    with registered(*recipes), pytest.raises(KernelError, match=message) as caught:
        pipelines(parameter_budget=10**6).take(host.request("block1", 2, blueprint, 0))
    attempt = caught.value.attempt
    assert (attempt.slot, attempt.seed, attempt.blueprint) == ("block1", 2, blueprint)
    assert attempt.error == str(caught.value)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_budgets_of_the_network_limit_a_kernel_alone(pipelines: Any, host: Host) -> None:
    request = host.request("block1", 0, "mlp", 0)  # 112 parameters
    assert pipelines(parameter_budget=112).take(request).parameters == 112
    with pytest.raises(KernelError, match=r"costs too much: parameters 112 \(<= 111\)"):
        pipelines(parameter_budget=111).take(request)
    with pytest.raises(KernelError, match=r"costs too much: memory_mb 0\.001709"):
        pipelines(memory_budget_mb=0.0017).take(request)


@pytest.mark.usefixtures("all_are_slow")
def test_closing_drops_what_is_ready_and_can_be_done_twice(pipelines: Any, host: Host) -> None:
    pipeline, request = pipelines(), host.request("block1", 0, "mlp", 0)
    pipeline.take(request)
    prepare(pipeline, host)
    pipeline.close()
    pipeline.close()
    assert pipeline.take(request).work.ahead_ms is None


def test_a_kernel_is_built_outside_a_run_too(host: Host) -> None:
    still = function(lambda x, w, _: (x * w) @ x.new_ones(4, 8))
    with registered(still):
        assert build_kernel(host.request("block1", 0, still.name, 0)).graphs is None
