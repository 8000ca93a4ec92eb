"""The time of following a host's data, and of making the graph of an observation."""

import statistics
from dataclasses import fields, replace
from time import perf_counter

import torch
from torch import Tensor, nn

from esper.contracts.health import BlockHealth
from esper.contracts.metrics import EpochMetrics
from esper.growth.data_flow import data_flow
from esper.growth.prepare import HostSetup, prepare
from esper.signals.graph import observation_graph
from esper.signals.options import Signals
from esper.signals.tracker import SignalTracker
from experiments.benchmarks.figure import Figure

SLOTS = (12, 200, 400)
ROUNDS = 20
LARGEST_FLOW_MS = 1_000.0
"""At most this long may following the data of the largest host take, once a run."""


class Stream(nn.Module):
    """Blocks that all add to one residual stream, the host with the most edges."""

    def __init__(self, num_blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8)) for _ in range(num_blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the stream after the last block."""
        for block in self.blocks:
            x = x + block(x)
        return x


def graphs() -> list[Figure]:
    """Return the milliseconds of both for each number of slots."""
    figures = []
    for number in SLOTS:
        flow_ms, graph_ms = _spans(number)
        figures += [
            Figure(
                name=f"data_flow/{number}_slots",
                value=flow_ms,
                unit="ms",
                goal=LARGEST_FLOW_MS if number == SLOTS[-1] else None,
                reference=f"median of {ROUNDS}; once a run, of a policy that reads health",
            ),
            Figure(
                name=f"observation_graph/{number}_slots",
                value=graph_ms,
                unit="ms",
                goal=None,
                reference=f"median of {ROUNDS}; once a decision",
            ),
        ]
    return figures


def _spans(num_slots: int) -> tuple[float, float]:
    """Return the median times of following the data and of making the graph."""
    torch.manual_seed(0)
    model, x = Stream(num_slots), torch.randn(4, 8)
    names = tuple(f"blocks.{place}" for place in range(num_slots))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    host = prepare(model, optimizer, x, HostSetup(slots=names, follows_data=True))
    health = BlockHealth(**{each.name: 1 for each in fields(BlockHealth)})
    states = tuple(replace(state, health=health) for state in host.states(1))
    metrics = EpochMetrics(epoch=1, global_step=1, val_loss=1.0)
    seen = SignalTracker(Signals()).update(metrics, states, 10, may_grow=True)
    seen = replace(seen, data_flow=host.data_flow)
    # The first graph imports the library.
    observation_graph(seen, {}, price=0.05)
    flow_ms, graph_ms = [], []
    for _ in range(ROUNDS):
        began = perf_counter()
        data_flow(model, x, names)
        followed = perf_counter()
        observation_graph(seen, {}, price=0.05)
        flow_ms.append((followed - began) * 1e3)
        graph_ms.append((perf_counter() - followed) * 1e3)
    return statistics.median(flow_ms), statistics.median(graph_ms)
