"""Asking for kernels: the answer is the same whatever was made ahead, cached, or done by others."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from esper.blueprint import catalogue
from esper.contracts.slot import SlotKind
from esper.growth.host import Host
from esper.kernels import background
from esper.kernels.kernel import Kernel, KernelError
from esper.kernels.options import Kernels
from esper.kernels.pipeline import KernelPipeline, build_kernel
from tests.unit.growth.builders import grow, make_host
from tests.unit.kernels.builders import function, recipe_of, registered


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "REST", 0.0)


@pytest.fixture
def host() -> Host:
    return make_host("mlp")


@pytest.fixture
def pipelines() -> Iterator[Any]:
    made = []

    def make(**options: Any) -> KernelPipeline:
        made.append(KernelPipeline(Kernels(**({"disk_mb": 0} | options)), 0))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.close()
    assert not [each for each in threading.enumerate() if each.name == "esper-kernels"]


def made_ahead(pipeline: KernelPipeline, host: Host) -> None:
    """Wait until everything is made that may be."""
    pipeline.ahead(host, may_grow=True)
    ends_s = time.monotonic() + 30
    while pipeline.is_busy:
        assert time.monotonic() < ends_s
        time.sleep(0.001)


def same(one: Kernel, other: Kernel) -> bool:
    pairs = zip(one.module.state_dict().items(), other.module.state_dict().items(), strict=True)
    facts = [(k.blueprint, k.gate, k.parameters, k.trainable, k.flops) for k in (one, other)]
    return facts[0] == facts[1] and all(
        name == name_too and torch.equal(weight, weight_too)
        for (name, weight), (name_too, weight_too) in pairs
    )


@pytest.mark.parametrize("name", ["mlp", "cnn", "transformer"])
def test_a_kernel_is_the_same_however_it_was_made(
    name: str, pipelines: Any, tmp_path: Path
) -> None:
    host = make_host(name)
    disk = {"disk_mb": 1, "cache_dir": str(tmp_path)}
    cold, warm, here = pipelines(**disk), pipelines(**disk), pipelines(ahead=False)
    for pipeline in (cold, warm, here):
        made_ahead(pipeline, host)
    seeds = list(host.seeds())
    assert len(seeds) >= 4
    for seed in seeds:
        kernels = [p.take(host, seed.slot, seed.index, seed.bound) for p in (cold, warm, here)]
        assert [kernel.work.ahead_ms is None for kernel in kernels] == [False, False, True]
        assert kernels[1].work.validate_ms is None
        assert same(kernels[0], kernels[1])
        assert same(kernels[0], kernels[2])
    assert all(p.drain() == [] for p in (cold, warm, here))


def test_one_that_was_made_ahead_is_handed_over_once_and_at_once(
    pipelines: Any, host: Host
) -> None:
    pipeline = pipelines()
    made_ahead(pipeline, host)
    first, again = (pipeline.take(host, "block1", 0, "mlp") for _ in range(2))
    assert first.work.ahead_ms is not None
    assert again.work.ahead_ms is None
    assert first.module is not again.module
    assert same(first, again)
    assert pipeline.work_ms > 0


def test_each_activation_has_weights_of_its_own(pipelines: Any, host: Host) -> None:
    pipeline = pipelines()
    first = pipeline.take(host, "block1", 0, "mlp")
    host.seed("block1", 0).activations = 1
    second = pipeline.take(host, "block1", 0, "mlp")
    assert not torch.equal(first.module[0].weight, second.module[0].weight)


def test_nothing_is_made_for_seeds_that_live_and_nothing_where_nothing_may_grow(
    pipelines: Any, host: Host
) -> None:
    grow(host, "block1", 0)
    pipeline = pipelines()
    wanted = [(request.slot, request.seed) for request in pipeline._wanted(host)]
    assert wanted == [("block1", 1), ("block1", 2), ("block1", 3)]
    made_ahead(pipeline, host)
    pipeline.ahead(host, may_grow=False)
    assert pipeline.take(host, "block1", 1, "gated_mlp").work.ahead_ms is None


def test_no_more_is_kept_ready_than_fits(pipelines: Any, host: Host) -> None:
    # block1 leads from 4 to 8 features: mlp 4 * 8 + 8 + 8 * 8 + 8 weights of 4 bytes.
    one = 112 * 4 / 2**20
    assert [r.seed for r in pipelines(ahead_mb=one)._wanted(host)] == [0]
    assert pipelines(ahead_mb=0.9 * one)._wanted(host)[0].seed != 0
    assert pipelines(ahead_mb=0)._wanted(host) == []
    assert len(pipelines()._wanted(host)) == len(list(host.seeds()))


def thread_of(recipe: Any, pipelines: Any, host: Host) -> str:
    """Return the name of the thread that a seed's kernel was built in."""
    host.seed("block1", 0).bound = recipe.name
    with registered(recipe):
        pipeline = pipelines()
        made_ahead(pipeline, host)
        kernel = pipeline.take(host, "block1", 0, recipe.name)
    assert kernel.module.built_in is not None
    return str(kernel.module.built_in)


@pytest.mark.parametrize(
    ("fields", "thread"), [({}, "MainThread"), ({"thread_safe": True}, "esper-kernels")]
)
def test_a_users_kernel_is_made_ahead_only_where_its_author_says_that_it_may(
    pipelines: Any, host: Host, fields: dict[str, Any], thread: str
) -> None:
    def build(kind: SlotKind, in_shape: Any, out_shape: Any) -> nn.Module:
        layer = nn.Linear(in_shape[-1], out_shape[-1])
        layer.built_in = threading.current_thread().name  # type: ignore[assignment]
        return layer

    assert thread_of(recipe_of(build, **fields), pipelines, host) == thread


def test_one_that_draws_what_only_a_global_generator_gives_is_made_at_the_boundary(
    pipelines: Any, host: Host
) -> None:
    class Dropping(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return torch.native_dropout(super().forward(x), 0.5, self.training)[0]

    recipe = recipe_of(lambda k, i, o: Dropping(i[-1], o[-1]), thread_safe=True)
    host.seed("block1", 0).bound = recipe.name
    state = torch.get_rng_state()
    with registered(recipe):
        pipeline = pipelines()
        made_ahead(pipeline, host)
        kernel = pipeline.take(host, "block1", 0, recipe.name)
        same_again = pipelines(ahead=False).take(host, "block1", 0, recipe.name)
    assert kernel.work.ahead_ms is None
    assert same(kernel, same_again)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_blueprint_that_cannot_say_its_cost_is_told_of_where_it_is_asked_for(
    pipelines: Any, host: Host
) -> None:
    def cost(*_: Any) -> Any:
        raise ZeroDivisionError("a user's mistake")

    recipe = recipe_of(lambda *_: nn.Linear(4, 8), cost=cost, thread_safe=True)
    host.seed("block1", 0).bound = recipe.name
    with registered(recipe):
        pipeline = pipelines()
        made_ahead(pipeline, host)
        with pytest.raises(KernelError, match="ZeroDivisionError: a user's mistake"):
            pipeline.take(host, "block1", 0, recipe.name)


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
        ("huge", "costs too much: parameters 1e\\+09"),
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
        recipe_of(lambda *_: HugeOnes(), name="huge"),
    ]
    state = torch.get_rng_state()
    with registered(*recipes), pytest.raises(KernelError, match=message) as caught:
        pipelines(max_parameters=10**6).take(host, "block1", 2, blueprint)
    attempt = caught.value.attempt
    assert (attempt.slot, attempt.seed, attempt.blueprint) == ("block1", 2, blueprint)
    assert attempt.error == str(caught.value)
    assert torch.equal(torch.get_rng_state(), state)


class HugeOnes(nn.Module):
    """More parameters than it declares, which take no memory: all are the same number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()).expand(10**9))

    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("it was run")


def test_what_failed_is_told_once(pipelines: Any, host: Host, tmp_path: Path) -> None:
    disk = {"disk_mb": 1, "cache_dir": str(tmp_path)}
    pipelines(**disk).take(host, "block1", 0, "mlp")
    for path in tmp_path.iterdir():
        path.write_text("{}")
    pipeline = pipelines(**disk)
    assert pipeline.take(host, "block1", 0, "mlp").gate.passed
    assert [told.where for told in pipeline.drain()] == ["cache"]
    assert pipeline.drain() == []
    again = pipelines(**disk)
    assert again.take(host, "block1", 0, "mlp").work.load_ms is not None
    assert again.drain() == []


def test_closing_drops_what_is_ready_and_can_be_done_twice(pipelines: Any, host: Host) -> None:
    pipeline = pipelines()
    pipeline.ahead(host, may_grow=True)
    pipeline.close()
    pipeline.close()
    assert pipeline.take(host, "block1", 0, "mlp").work.ahead_ms is None


def test_a_kernel_built_once_is_neither_limited_nor_remembered(host: Host) -> None:
    still = function(lambda x, w, _: (x * w) @ x.new_ones(4, 8))
    with registered(still):
        assert build_kernel(host, "block1", 0, still.name, 0).graphs is None
    assert catalogue._added.get(still.name) is None
