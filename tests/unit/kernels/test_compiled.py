"""Compiled kernels.  Torch traces them for real; only what turns graphs into machine code is not.

What a compiler makes of them is in `test_compiling.py`.
"""

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from esper.kernels import compiled as compiled_module
from esper.kernels.compiled import Compiled, compiled_of, install


@pytest.fixture(autouse=True)
def _no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_module, "lower", lambda graph, inputs: graph.forward)


def make_kernel() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Dropout(0.5), nn.Linear(6, 4))


def compiled(module: nn.Module | None = None) -> tuple[nn.Module, Compiled, list[Exception]]:
    told: list[Exception] = []
    module, made = module or make_kernel(), Compiled(told.append)
    install(module, made)
    return module, made, told


def learn(module: nn.Module, batch: int, *, from_graph: bool) -> None:
    x = torch.ones(batch, 4).requires_grad_(from_graph)
    module.train()(x).sum().backward()


def judge(module: nn.Module, batch: int) -> Tensor:
    with torch.no_grad():
        out: Tensor = module.eval()(torch.ones(batch, 4))
    return out


def test_each_way_of_running_a_kernel_is_one_graph_for_all_batches() -> None:
    module, made, told = compiled()
    for batch in (32, 7, 100, 2):
        learn(module, batch, from_graph=False)
        learn(module, batch, from_graph=True)
        judge(module, batch)
    assert (made.graphs, made.problem, told) == (3, None, [])


def test_a_kernel_gives_what_it_gave_and_its_weights_have_their_names() -> None:
    plain, (module, _, _) = make_kernel(), compiled()
    assert module.state_dict().keys() == plain.state_dict().keys()
    assert [name for name, _ in module.named_parameters()] == [
        name for name, _ in plain.named_parameters()
    ]
    assert torch.equal(judge(module, 5), judge(plain, 5))
    learn(module, 5, from_graph=True)
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_a_copy_runs_its_own_weights_through_the_same_graphs() -> None:
    module, made, _ = compiled()
    learn(module, 8, from_graph=True)
    judge(module, 8)
    twin = copy.deepcopy(nn.ModuleDict({"kernel": module}))["kernel"]
    assert compiled_of(twin) is made
    with torch.no_grad():
        for weight in twin.parameters():
            weight.zero_()
        twin[3].bias.fill_(2.0)
    assert judge(twin, 6).tolist() == [[2.0] * 4] * 6
    assert judge(module, 6).abs().sum() not in (0.0, 48.0)
    learn(twin, 6, from_graph=True)
    assert made.graphs == 2


def test_many_kernels_do_not_use_up_one_anothers_limit() -> None:
    for _ in range(torch._dynamo.config.recompile_limit + 1):
        module, made, told = compiled(nn.Linear(4, 4))
        judge(module, 4)
        assert (made.graphs, told) == (1, [])


def test_a_kernel_whose_graphs_are_too_many_runs_eagerly_and_that_is_told() -> None:
    module, made, told = compiled(nn.GELU())
    limit = torch._dynamo.config.recompile_limit
    for rank in range(1, limit + 4):  # each is a graph of its own
        x = torch.ones([3] * rank)
        assert torch.equal(module(x), nn.functional.gelu(x))
    assert made.graphs == limit
    assert [type(error).__name__ for error in told] == ["FailOnRecompileLimitHit"]
    assert str(made.problem).startswith("FailOnRecompileLimitHit")


def raising(x: Tensor) -> Tensor:
    raise ZeroDivisionError("a user's mistake")


def breaking(x: Tensor) -> Tensor:
    torch._dynamo.graph_break()
    return x * 2


class Of(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def test_what_cannot_be_one_graph_runs_eagerly_and_that_is_told_once() -> None:
    module, made, told = compiled(Of(breaking))
    assert [module(torch.ones(3, 4)).sum().item() for _ in range(2)] == [24.0, 24.0]
    assert len(told) == 1
    assert made.problem is not None


def test_an_error_of_the_kernel_itself_is_its_callers() -> None:
    module, _, told = compiled(Of(raising))
    with pytest.raises(ZeroDivisionError, match="a user's mistake"):
        module(torch.ones(3, 4))
    assert told == []


def test_within_a_compiled_network_a_kernel_is_part_of_its_graph() -> None:
    module, made, told = compiled()
    host = nn.Sequential(nn.Linear(4, 4), module).eval()
    graphs: list[Any] = []
    with torch.no_grad():
        whole = torch.compile(
            host, backend=lambda graph, _: graphs.append(graph) or graph.forward, fullgraph=True
        )
        assert torch.allclose(whole(torch.ones(3, 4)), host(torch.ones(3, 4)))
    assert (len(graphs), told) == (1, [])
    assert made.graphs == 1, "by the host that was not compiled"


def test_a_network_that_is_saved_whole_leaves_what_was_compiled_behind() -> None:
    module, _, _ = compiled()
    expected = judge(module, 3)
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    assert compiled_of(again) is None
    assert torch.equal(judge(again, 3), expected)
