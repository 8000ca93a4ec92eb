"""The benchmark of the data flow and of the graphs: what it measures."""

import pytest

from esper.contracts.data_flow import MOST_SOURCES
from esper.growth.data_flow import data_flow
from experiments.benchmarks import graph
from experiments.benchmarks.graph import Stream, graphs
from tests.unit.growth.test_data_flow import X


def test_both_times_are_measured_for_each_number_of_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "SLOTS", (2, 3))
    monkeypatch.setattr(graph, "ROUNDS", 1)
    figures = graphs()
    assert [(figure.name, figure.goal) for figure in figures] == [
        ("data_flow/2_slots", None),
        ("observation_graph/2_slots", None),
        ("data_flow/3_slots", 1_000.0),
        ("observation_graph/3_slots", None),
    ]
    assert all(figure.value > 0 for figure in figures)


def test_the_host_has_as_many_edges_as_a_host_can_have() -> None:
    num = MOST_SOURCES + 2
    flow = data_flow(Stream(num), X.repeat(1, 2), [f"blocks.{place}" for place in range(num)])
    assert len(flow.edges) == sum(min(place, MOST_SOURCES) for place in range(num))
