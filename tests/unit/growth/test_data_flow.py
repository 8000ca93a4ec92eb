"""The graph of a host's slots, on hosts whose edges one can write down."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from esper.contracts.data_flow import MOST_SOURCES, DataFlow
from esper.growth.data_flow import data_flow
from tests.unit.growth.builders import HOSTS, make_host, make_input, make_model

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
Forward = Callable[["Blocks", Tensor], Tensor]


class Blocks(nn.Module):
    """Linear layers `a` to `d` of width 4, joined by the function of a test."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Linear(4, 4) for _ in range(4))
        self.join = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.join(self, x)


def flow_of(forward: Forward, slots: str = "abc") -> DataFlow:
    return data_flow(Blocks(forward), X, list(slots))


def edges(flow: DataFlow) -> dict[str, tuple[int, int, float]]:
    """Return (weights, operations, share) of each edge."""
    return {
        f"{edge.source}>{edge.target}": (edge.weights, edge.operations, edge.share)
        for edge in flow.edges
    }


def test_in_a_chain_each_slot_reads_the_one_before() -> None:
    flow = flow_of(lambda m, x: m.d(m.c(m.b(functional.gelu(m.a(x))))))
    assert edges(flow) == {"a>b": (0, 1, 1.0), "b>c": (0, 0, 1.0)}
    assert flow.positions == {"a": 0.0, "b": 0.5, "c": 1.0}
    assert flow.outputs == ("c",)


def test_a_module_without_a_slot_counts_as_a_weight_layer_on_the_way() -> None:
    flow = flow_of(lambda m, x: m.c(functional.relu(m.b(m.a(x)))), "ac")
    assert edges(flow) == {"a>c": (1, 2, 1.0)}


def test_residual_connections_lead_past_the_slots_between() -> None:
    def forward(m: Blocks, x: Tensor) -> Tensor:
        for block in (m.a, m.b, m.c):
            x = x + block(x)
        return x

    flow = flow_of(forward)
    # Each sum on the way is one operation.
    assert edges(flow) == {"a>b": (0, 1, 1.0), "a>c": (0, 2, 0.5), "b>c": (0, 1, 0.5)}
    assert flow.positions == {"a": 0.0, "b": 0.5, "c": 1.0}
    assert flow.outputs == ("a", "b", "c")


def test_of_two_paths_the_one_with_fewer_weights_is_described() -> None:
    def forward(m: Blocks, x: Tensor) -> Tensor:
        x = m.a(x)
        return m.b(m.c(x) + x.relu().tanh())

    assert edges(flow_of(forward, "ab")) == {"a>b": (0, 3, 1.0)}


def test_branches_do_not_read_each_other_and_a_concatenation_reads_both() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.c(torch.cat([self.a(x), self.b(x)], dim=1))

    flow = data_flow(Branches(), X, ["a", "b", "c"])
    assert edges(flow) == {"a>c": (0, 1, 0.5), "b>c": (0, 1, 0.5)}
    assert flow.positions == {"a": 0.0, "b": 0.0, "c": 1.0}


def test_a_slot_that_is_called_twice_has_one_node_and_no_edge_to_itself() -> None:
    flow = flow_of(lambda m, x: m.c(m.b(m.a(m.a(m.b(m.a(x)))))))
    assert edges(flow) == {"b>a": (0, 0, 1.0), "a>b": (0, 0, 1.0), "b>c": (0, 0, 1.0)}
    # Called after 0, 2, 3 slots; after 1 and 4; after 5.
    assert flow.positions == {"a": 3 / 5, "b": 4 / 5, "c": 1.0}


def test_a_slot_inside_another_reads_its_input_and_reaches_its_output() -> None:
    inner = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model = nn.Sequential(nn.Linear(4, 4), inner, nn.Linear(4, 4))
    flow = data_flow(model, X, ["0", "1", "1.0", "2"])
    assert edges(flow) == {
        "0>1": (0, 0, 0.5),
        "1.0>1": (1, 1, 0.5),
        "0>1.0": (0, 0, 1.0),
        "1>2": (0, 0, 1.0),
    }
    assert flow.positions == {"0": 0.0, "1": 2 / 3, "1.0": 1 / 3, "2": 1.0}


def add_to_a_row(m: Blocks, x: Tensor) -> Tensor:
    held = x.new_zeros(3, 4)
    held[0] = m.a(x)[0]
    return m.b(held)


def write_to_a_view(m: Blocks, x: Tensor) -> Tensor:
    held = torch.zeros(3, 4)
    held[:, :2].add_(m.a(x)[:, :2])
    return m.b(held)


def without_gradient(m: Blocks, x: Tensor) -> Tensor:
    with torch.inference_mode():
        x = m.a(x) + 1
    return m.b(x.clone())


def by_index(m: Blocks, x: Tensor) -> Tensor:
    return m.b(x[m.a(x).argmax(dim=1) % 3])


@pytest.mark.parametrize(
    "forward",
    [
        add_to_a_row,
        write_to_a_view,
        without_gradient,
        by_index,
        lambda m, x: m.b(m.a(x).relu_()),
        lambda m, x: m.b(m.a(x).detach()),
        lambda m, x: m.b(m.a(x).view_as(x)),
        lambda m, x: m.b(m.a(x).T.chunk(2)[1].repeat(2, 1).T),
    ],
)
def test_the_data_are_followed_through_writes_views_indices_and_detached_tensors(
    forward: Forward,
) -> None:
    assert list(edges(flow_of(forward, "ab"))) == ["a>b"]


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: m.b(x) + m.a(x),
        lambda m, x: m.b(torch.ones_like(m.a(x))),
        lambda m, x: m.b(x.view_as(m.a(x))),
        lambda m, x: m.b(x.reshape(m.a(x).shape)),
    ],
)
def test_there_is_no_edge_where_no_data_flow(forward: Forward) -> None:
    assert edges(flow_of(forward, "ab")) == {}


def test_a_slot_that_returns_its_input_is_no_source_for_others_that_read_it() -> None:
    class Through(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.same, self.b = nn.Linear(4, 4), nn.Identity(), nn.Linear(4, 4)
            self.c = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            return self.b(self.same(x)) + self.c(x)

    found = edges(data_flow(Through(), X, ["a", "same", "b", "c"]))
    assert list(found) == ["a>same", "same>b", "a>c"]


def test_a_transformer_has_edges_from_each_part_to_all_later_ones() -> None:
    slots = ["block1.attention", "block1.mlp", "block2.attention", "block2.mlp"]
    flow = data_flow(make_model("transformer"), make_input("transformer"), slots)
    pairs = [(edge.source, edge.target) for edge in flow.edges]
    assert pairs == [(slots[i], slots[j]) for j in range(4) for i in range(j)]
    assert all(edge.weights == 0 for edge in flow.edges)
    # A sum for each part on the way, and the norm before the target.
    assert [edge.operations for edge in flow.edges] == [2, 3, 2, 4, 3, 2]
    assert list(flow.positions.values()) == [0, 1 / 3, 2 / 3, 1]
    assert flow.outputs == tuple(slots)


@pytest.mark.parametrize("name", ["resnet", "batch_norm"])
def test_residual_blocks_that_hold_their_shortcut_form_a_chain(name: str) -> None:
    slots = ["stem", "stage1.block1", "stage2.block1"]
    flow = data_flow(make_model(name), make_input(name), slots)
    assert edges(flow) == {
        "stem>stage1.block1": (0, 0, 1.0),
        "stage1.block1>stage2.block1": (0, 0, 1.0),
    }
    assert flow.outputs == ("stage2.block1",)


def test_layers_inside_residual_blocks_have_edges_along_the_shortcuts() -> None:
    blocks = ("stage1.block1", "stage2.block1")
    slots = [f"{block}.conv{i}" for block in blocks for i in (1, 2)]
    flow = data_flow(make_model("resnet"), make_input("resnet"), slots)
    first, second, third, fourth = slots
    assert [(edge.source, edge.target, edge.weights) for edge in flow.edges] == [
        (first, second, 0),
        (second, third, 0),
        (third, fourth, 0),
    ]
    # Past the third and the fourth leads a shortcut with a convolution.
    assert flow.outputs == (second, fourth)


@pytest.mark.parametrize("name", HOSTS)
def test_a_frozen_host_has_the_same_graph_and_nothing_changes(name: str) -> None:
    model, x = make_model(name), make_input(name)
    slots = list(make_host(name).slots)
    model.train()
    before, rng = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    flow = data_flow(model, x, slots)
    assert list(flow.positions) == slots
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    for module in model.modules():
        assert module.training
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert data_flow(model.requires_grad_(False), x, slots) == flow


def test_hooks_go_even_if_the_host_raises() -> None:
    def forward(m: Blocks, x: Tensor) -> Tensor:
        raise RuntimeError("broken")

    model = Blocks(forward)
    with pytest.raises(RuntimeError, match="broken"):
        data_flow(model, X, ["a"])
    assert not model.a._forward_hooks
    assert not model.a._forward_pre_hooks


def test_of_many_sources_the_nearest_have_edges_but_all_share_the_target() -> None:
    class Stream(nn.Module):
        def __init__(self, num: int) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(num))

        def forward(self, x: Tensor) -> Tensor:
            for block in self.blocks:
                x = x + block(x)
            return x

    num = MOST_SOURCES + 3
    slots = [f"blocks.{i}" for i in range(num)]
    flow = data_flow(Stream(num), X, slots)
    last = [edge for edge in flow.edges if edge.target == slots[-1]]
    assert [edge.source for edge in last] == slots[-1 - MOST_SOURCES : -1]
    assert {edge.share for edge in last} == {1 / (num - 1)}
    assert flow.outputs == tuple(slots)
    assert flow.positions[slots[5]] == 5 / (num - 1)


def test_a_lone_slot_is_at_the_start() -> None:
    flow = flow_of(lambda m, x: m.a(x), "a")
    assert flow == DataFlow(positions={"a": 0.0}, outputs=("a",), unavoidable=("a",), edges=())
