"""The graph of an observation, as PyTorch Geometric holds it."""

import math
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import pytest
import torch

from esper.contracts.errors import ConfigError
from esper.contracts.health import BlockHealth
from esper.signals import graph as module
from esper.signals.graph import EdgeFeature, RunFeature, observation_graph
from esper.signals.node_features import HEALTH, NodeFeature
from esper.signals.scale import UNKNOWN
from esper.signals.slot_features import SlotFeature
from tests.unit.policy.builders import make_observation
from tests.unit.signals.graphs import FLOW, make_health, observed

ALL = (make_health(), make_health(), make_health())


def graph_of(*healths: BlockHealth | None, **changes: Any) -> Any:
    return observation_graph(observed(*healths, **changes), {}, price=0.05)


def test_nodes_are_the_slots_with_their_health_and_their_seeds() -> None:
    graph = graph_of(*ALL)
    assert graph.x.shape == (3, len(NodeFeature) + len(SlotFeature))
    assert graph.x[:, NodeFeature.POSITION].tolist() == [-1, 0, 1]
    assert graph.x[:, NodeFeature.FEEDS_OUTPUT].tolist() == [-1, -1, 1]
    assert graph.x[:, len(NodeFeature) + SlotFeature.AVAILABLE].tolist() == [1, 1, 1]
    assert graph.validate()


def test_edges_go_along_the_data_and_then_against_them() -> None:
    graph = graph_of(*ALL)
    assert graph.edge_index.tolist() == [[0, 0, 1, 1, 2, 2], [1, 2, 2, 0, 0, 1]]
    assert graph.edge_attr.shape == (6, 8)
    forward = graph.edge_attr[:, EdgeFeature.IS_FORWARD].tolist()
    assert forward == [1, 1, 1, -1, -1, -1]
    assert torch.equal(graph.edge_attr[:3, :-1], graph.edge_attr[3:, :-1])
    assert graph.edge_attr[:3, EdgeFeature.UNWEIGHTED].tolist() == [1, 1, -1]
    assert graph.edge_attr[:3, EdgeFeature.DISTANCE].tolist() == [0.5, 1.0, 0.5]
    assert graph.edge_attr[:3, EdgeFeature.SHARE].tolist() == [1, 0, 0]


def test_an_edge_tells_how_the_sizes_of_the_outputs_change() -> None:
    observation = observed(*ALL)
    first = observation.slots[0]
    small = replace(first.spec, out_shape=(2,))
    slots = (replace(first, spec=small), *observation.slots[1:])
    graph = observation_graph(replace(observation, slots=slots), {}, price=0.05)
    # 2 features to 8, of at most 64 times as many.
    expected = math.log(4) / math.log(64)
    ratios = graph.edge_attr[:3, EdgeFeature.WIDTH_RATIO].tolist()
    assert ratios == pytest.approx([expected, expected, 0])
    assert graph.edge_attr[:3, EdgeFeature.POSITIONS_RATIO].tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["log_parameters", *HEALTH])
def test_a_node_changes_with_the_health_of_its_block_alone(name: str) -> None:
    worse = replace(make_health(), **{name: getattr(make_health(), name) - 0.125})
    before, after = graph_of(*ALL), graph_of(make_health(), worse, make_health())
    changed = (before.x != after.x).nonzero().tolist()
    assert changed == [[1, NodeFeature[name.upper()]]]
    assert torch.equal(before.edge_attr, after.edge_attr)
    assert torch.equal(before.u, after.u)


def test_the_change_since_the_probe_before_is_that_nodes_alone() -> None:
    observation = observed(*ALL)
    before = {"third": make_health(6, effective_rank=0.25)}
    graph = observation_graph(observation, before, price=0.05)
    column = graph.x[:, NodeFeature.EFFECTIVE_RANK_CHANGE].tolist()
    assert column == [UNKNOWN, UNKNOWN, 0.5]


def test_the_run_as_a_whole_is_described() -> None:
    losses = (9.0, 1.0, 1.0, 1.0, 1.0, 2.0)
    observation = observed(*ALL, val_losses=losses)
    run = observation_graph(observation, {}, price=0.1, num_problem_slots=1).u
    assert run.shape == (1, len(RunFeature))
    assert run[0, RunFeature.PRICE].item() == pytest.approx(-0.5)
    # Epoch 10 of 40.
    assert run[0, RunFeature.EPOCH_SHARE].item() == -0.5
    # The last five: standard deviation 0.4, mean 1.2.
    assert run[0, RunFeature.SPREAD].item() == pytest.approx((0.4 / 1.2 - 0.25) / -0.25)
    assert run[0, RunFeature.PROBLEM_SHARE].item() == pytest.approx(1 / 3)
    assert run[0, RunFeature.TRAIN_LOSS].item() == UNKNOWN
    unknown = observation_graph(observation, {}, price=0.1).u
    assert unknown[0, RunFeature.PROBLEM_SHARE].item() == UNKNOWN


@pytest.mark.parametrize("losses", [(), (1.0,), (math.nan, 1.0), (-1.0, 1.0)])
def test_too_few_losses_have_no_spread(losses: tuple[float, ...]) -> None:
    run = graph_of(*ALL, val_losses=losses).u
    assert run[0, RunFeature.SPREAD].item() == UNKNOWN


def test_all_is_finite_and_bounded_even_where_nothing_is_known() -> None:
    wild = make_health(activation_variance=1e300, gradient_norm=-math.inf, linear_gain=math.nan)
    for healths in ((None, None, None), (wild, wild, None)):
        graph = graph_of(*healths, val_losses=(math.nan, 1e300, 2.0), loss_delta=None)
        for values in (graph.x, graph.edge_attr, graph.u):
            assert ((values.abs() <= 1) | (values == UNKNOWN)).all()


def test_graphs_form_a_batch() -> None:
    from torch_geometric.data import Batch

    one = graph_of(*ALL)
    alone = make_observation(data_flow=replace(FLOW, positions={"block": 0.0}, edges=()))
    other = observation_graph(alone, {}, price=0.05)
    assert other.edge_index.shape == (2, 0)
    assert other.edge_attr.shape == (0, len(EdgeFeature))
    both = Batch.from_data_list([other, one])
    assert both.x.shape[0] == 4
    assert both.u.shape == (2, len(RunFeature))
    assert both.batch.tolist() == [0, 1, 1, 1]
    assert torch.equal(both.edge_index, one.edge_index + 1)


def test_without_a_data_flow_there_is_no_graph() -> None:
    with pytest.raises(ValueError, match="only if its policy reads health"):
        graph_of(*ALL, data_flow=None)


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    module._geometric_data.cache_clear()
    with pytest.raises(ConfigError, match=r"not installed: pip install 'esper-morph\[policy\]'$"):
        graph_of(*ALL)
    monkeypatch.setattr(module, "find_spec", find_spec)
    assert graph_of(*ALL).num_nodes == 3


PRINT_GRAPH = """
import sys
import torch
from esper.grower.grower import Grower
from esper.signals import graph
assert "torch_geometric" not in sys.modules
from esper.growth.data_flow import data_flow
from dataclasses import replace
from tests.unit.growth.builders import make_host, make_input
from tests.unit.policy.builders import make_observation
from tests.unit.signals.graphs import make_health
for name in ("transformer", "resnet"):
    host = make_host(name)
    slots = tuple(replace(state, health=make_health()) for state in host.states(10))
    flow = data_flow(host.model, make_input(name), list(host.slots))
    seen = make_observation(slots=slots, data_flow=flow)
    data = graph.observation_graph(seen, {}, price=0.05)
    print(flow, [value.tolist() for value in (data.x, data.edge_index, data.edge_attr, data.u)])
"""


def test_processes_with_different_hashes_make_equal_graphs() -> None:
    printed = [
        subprocess.run(
            [sys.executable, "-c", PRINT_GRAPH],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1")
    ]
    assert "block2.mlp" in printed[0]
    assert printed[0] == printed[1]
