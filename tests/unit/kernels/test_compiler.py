"""Compiled kernels.

The quick tests let torch trace kernels and skip the generation of machine code; the slow tests
compile completely.
"""

import copy
import io
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from esper.contracts.decision import DecisionKind
from esper.contracts.event import EventKind, Recovery
from esper.contracts.slot import SlotKind
from esper.growth.requests import held_kernels
from esper.kernels import compiler as compiler_module
from esper.kernels.compiler import Compiler
from esper.kernels.options import Kernels
from esper.kernels.pipeline import KernelPipeline, build_kernel
from esper.kernels.request import Request
from esper.safety.options import Safety
from tests.unit.growth.builders import grow, kernel_of, make_host
from tests.unit.kernels.builders import function, make_request, make_spec, recipe_of
from tests.unit.scripted import adapt, go, same_weights, script, verdict

BLUEPRINT = "affine"
"""A blueprint that compiles in a second."""


@pytest.fixture
def _no_machine_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler_module, "lower", lambda graph, inputs: graph.forward)


traced = pytest.mark.usefixtures("_no_machine_code")


def dropping(*_: Any) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Dropout(0.5), nn.Linear(6, 4))


def compiled(request: Request | None = None) -> tuple[nn.Module, Compiler]:
    request, compiler = request or make_request(recipe_of(dropping)), Compiler()
    module = build_kernel(request).module
    compiler.compile(request, module)
    return module, compiler


def learn(module: nn.Module, batch: int, *, from_graph: bool) -> None:
    x = torch.ones(batch, 4).requires_grad_(from_graph)
    module.train()(x).sum().backward()


def judge(module: nn.Module, batch: int) -> Tensor:
    with torch.no_grad():
        out: Tensor = module.eval()(torch.ones(batch, 4))
    return out


@traced
def test_each_way_of_running_a_kernel_is_one_graph_for_all_batches() -> None:
    module, compiler = compiled()
    assert compiler.num_graphs == 3
    for batch in (32, 7, 100, 2):
        learn(module, batch, from_graph=False)
        learn(module, batch, from_graph=True)
        judge(module, batch)
    assert (compiler.num_graphs, compiler.drain()) == (3, [])


@traced
def test_compiling_draws_nothing_and_leaves_the_kernel_as_it_was() -> None:
    request = make_request(recipe_of(dropping))
    plain, state = build_kernel(request).module, torch.get_rng_state()
    module, _ = compiled(request)
    assert torch.equal(torch.get_rng_state(), state)
    assert module.state_dict().keys() == plain.state_dict().keys()
    assert all(parameter.grad is None for parameter in module.parameters())
    assert torch.equal(judge(module, 5), judge(plain, 5))
    learn(module, 5, from_graph=True)
    assert all(parameter.grad is not None for parameter in module.parameters())


@traced
def test_a_copy_runs_eagerly_until_it_is_compiled_and_then_by_the_same_graphs() -> None:
    request = make_request(recipe_of(dropping))
    module, compiler = compiled(request)
    twin = copy.deepcopy(nn.ModuleDict({"kernel": module}))["kernel"]
    assert twin._compiled_call_impl is None
    compiler.compile(request, twin)
    with torch.no_grad():
        for weight in twin.parameters():
            weight.zero_()
        twin[3].bias.fill_(2.0)
    assert judge(twin, 6).tolist() == [[2.0] * 4] * 6
    assert judge(module, 6).abs().sum() not in (0.0, 48.0)
    learn(twin, 6, from_graph=True)
    assert compiler.num_graphs == 3


@traced
def test_the_next_kernel_of_a_kind_compiles_nothing() -> None:
    recipe, compiler = recipe_of(dropping), Compiler()
    requests = [make_request(recipe, weights=weights) for weights in (1, 2)]
    modules = [build_kernel(request).module for request in requests]
    for request, module in zip(requests, modules, strict=True):
        plain = copy.deepcopy(module)
        compiler.compile(request, module)
        assert torch.equal(judge(module, 4), judge(plain, 4))
        learn(module, 4, from_graph=True)
    assert compiler.num_graphs == 3
    assert not torch.equal(judge(modules[0], 4), judge(modules[1], 4))


@traced
def test_many_kinds_do_not_use_up_one_anothers_limit() -> None:
    compiler = Compiler()
    for _ in range(torch._dynamo.config.recompile_limit + 1):
        request = make_request(recipe_of(lambda *_: nn.Linear(4, 4)))
        compiler.compile(request, build_kernel(request).module)
    assert compiler.num_graphs == 3 * (torch._dynamo.config.recompile_limit + 1)
    assert compiler.drain() == []


def failures(compiler: Compiler) -> list[Recovery]:
    recoveries = compiler.drain()
    assert all(
        (r.where, r.strategy, r.recovered) == ("kernel", "fallback", True) for r in recoveries
    )
    assert compiler.drain() == []
    return recoveries


@traced
def test_a_kernel_whose_graphs_are_too_many_runs_eagerly_and_that_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(compiler_module._LIMITS, "recompile_limit", 5)
    module, compiler = compiled(make_request(recipe_of(lambda *_: nn.GELU())))
    for rank in range(3, 8):  # each is a graph of its own
        x = torch.ones([2] * rank)
        assert torch.equal(module(x), nn.functional.gelu(x))
    assert compiler.num_graphs == 5
    assert [failure.error for failure in failures(compiler)] == ["FailOnRecompileLimitHit"]


@traced
def test_what_cannot_be_one_graph_runs_eagerly_and_that_is_recorded_once() -> None:
    def breaking(x: Tensor, w: Tensor, _: bool) -> Tensor:
        torch._dynamo.graph_break()
        return x * (w + 2)

    request = make_request(function(breaking))
    module, compiler = compiled(request)
    assert [module(torch.ones(3, 4)).sum().item() for _ in range(2)] == [24.0, 24.0]
    (failure,) = failures(compiler)
    assert (failure.slot, failure.seed, failure.blueprint) == ("block", 0, "odd")
    assert failure.message.startswith("it cannot be compiled and runs eagerly: ")
    other = build_kernel(request).module
    compiler.compile(request, other)
    assert other(torch.ones(3, 4)).sum().item() == 24.0
    assert failures(compiler) == []


@traced
def test_an_error_of_the_kernel_itself_is_its_callers() -> None:
    def picky(x: Tensor, w: Tensor, _: bool) -> Tensor:
        return x * w + x.new_ones(4)

    module, _ = compiled(make_request(function(picky)))
    with pytest.raises(RuntimeError, match="must match the size"):
        module(torch.ones(3, 5))


@traced
def test_within_a_compiled_network_a_kernel_is_part_of_its_graph() -> None:
    module, compiler = compiled()
    host = nn.Sequential(nn.Linear(4, 4), module).eval()
    graphs: list[Any] = []
    with torch.no_grad():
        whole = torch.compile(
            host, backend=lambda graph, _: graphs.append(graph) or graph.forward, fullgraph=True
        )
        assert torch.allclose(whole(torch.ones(3, 4)), host(torch.ones(3, 4)))
    assert (len(graphs), compiler.num_graphs, compiler.drain()) == (1, 3, [])


@traced
def test_a_network_that_is_saved_whole_leaves_what_was_compiled_behind() -> None:
    module, _ = compiled(make_request("mlp"))
    expected = judge(module, 3)
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    assert again._compiled_call_impl is None
    assert torch.equal(judge(again, 3), expected)


@traced
def test_kernels_that_a_network_and_its_twin_hold_already_are_compiled() -> None:
    host = make_host("mlp")
    grow(host, "block1", blueprint=BLUEPRINT)
    pipeline, twin = KernelPipeline(Kernels(compile=True), 0), host.copy()
    for each in (host, twin, host):
        pipeline.compile(held_kernels(each, 0))
        assert kernel_of(each, "block1")._compiled_call_impl is not None
    assert pipeline.compiler is not None
    assert pipeline.compiler.num_graphs == 3
    assert host.copy().model.state_dict().keys() == host.model.state_dict().keys()
    assert pipeline.drain() == []
    pipeline.close()


slow = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler"),
    # Torch's compiler makes use of what torch gives up.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]

POLICY = script(
    e2=[adapt("0", 1)],
    e6=[verdict(DecisionKind.CULL, "0", 0)],
    e7=[adapt("3", 1)],
)


def run(**options: Any) -> Any:
    kernels, safety = Kernels(**options), Safety(max_cost=20.0)
    return go(policy=POLICY, blueprint=BLUEPRINT, num_seeds=1, safety=safety, kernels=kernels)


class TestWithMachineCode:
    pytestmark = slow

    def test_a_run_with_compiled_kernels_is_the_run_without_but_for_rounding(self) -> None:
        eager, compiled = run(), run(compile=True)
        kernels = compiled.told.of(EventKind.KERNEL)
        assert [kernel.graphs for kernel in kernels] == [3, 3]
        assert all(kernel.compile_ms > 0 for kernel in kernels)
        assert compiled.told.of(EventKind.RECOVERY) == []
        assert compiled.stages("0", 0) == eager.stages("0", 0)
        # Ramps of alpha, muted steps, evaluations, a cull and another kernel: not one graph more.
        assert compiled.grower.adapter.pipeline.compiler.num_graphs == 6
        losses = [[r.metrics.val_loss for r in each.reports] for each in (eager, compiled)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)
        compiled.grower.close()

    def test_where_there_is_no_compiler_kernels_run_eagerly_and_that_is_told(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        from torch._inductor import config

        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
        with config.patch({"cpp.cxx": (str(tmp_path / "no-compiler"),)}):
            eager, compiled = run(), run(compile=True)
        recoveries = compiled.told.of(EventKind.RECOVERY)
        assert [(r.where, r.strategy, r.recovered, r.slot, r.blueprint) for r in recoveries] == [
            ("kernel", "fallback", True, "0", BLUEPRINT),
            ("kernel", "fallback", True, "3", BLUEPRINT),
        ]
        message = "it cannot be compiled and runs eagerly: "
        assert all(r.message.startswith(message) for r in recoveries)
        assert same_weights(compiled.model, eager.model)
        compiled.grower.close()

    def test_a_convolution_gives_what_it_gave(self) -> None:
        spec = make_spec(SlotKind.FEATURE_MAP)
        request = make_request("conv", spec)
        plain = build_kernel(request).module
        with torch.no_grad():
            for weight in plain.parameters():
                weight.normal_()
        module, compiler = copy.deepcopy(plain), Compiler()
        compiler.compile(request, module)
        x = torch.randn(32, *spec.in_shape)
        torch.testing.assert_close(module(x), plain(x), rtol=1e-3, atol=1e-3)
        assert compiler.drain() == []
