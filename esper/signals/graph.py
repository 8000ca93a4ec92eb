"""Convert an observation to a graph of PyTorch Geometric: slots, and the data flow between them.

Shapes: S slots, E edges of the data flow, C columns of nodes, K of edges, G of the whole run.
The library is imported at the first graph, because that takes seconds.
"""

import math
import statistics
import warnings
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from esper.contracts.data_flow import DataFlow
from esper.contracts.errors import ConfigError
from esper.contracts.health import BlockHealth
from esper.contracts.observation import Observation
from esper.signals.features import HISTORY, number
from esper.signals.node_features import NodeFeature, node_features, width_and_positions
from esper.signals.scale import Column, Floats, Scale, change, count, loss, scaled_rows, share
from esper.signals.slot_features import SlotFeature, slot_features

if TYPE_CHECKING:
    from torch_geometric.data import Data

_LARGEST_RATIO = math.log(64)


class EdgeFeature(Column):
    """The columns of an edge's row.  Ratios are logarithms of target over source.

    UNWEIGHTED: whether a path without weights joins the two, as a residual stream does.
    WEIGHTS, OPERATIONS, SHARE: as in `Edge`.  DISTANCE: difference of their positions.
    WIDTH_RATIO, POSITIONS_RATIO: of the sizes of their outputs.
    IS_FORWARD: 1 along the data, 0 against them, as gradients flow.
    """

    UNWEIGHTED = share()
    WEIGHTS = count(30)
    OPERATIONS = count(300)
    DISTANCE = change(1.0)
    WIDTH_RATIO = change(_LARGEST_RATIO)
    POSITIONS_RATIO = change(_LARGEST_RATIO)
    SHARE = share()
    IS_FORWARD = share()


class RunFeature(Column):
    """The columns of the whole run.

    EPOCH_SHARE: finished epochs of the budget.
    SPREAD: standard deviation of the last `HISTORY` validation losses, relative to their mean.
    PROBLEM_SHARE: share of the slots whose health score is under 0.3.
    """

    PRICE = Scale(centre=0.2, spread=0.2)
    EPOCH_SHARE = share()
    TRAIN_LOSS = loss()
    VAL_LOSS = loss()
    BEST_VAL_LOSS = loss()
    LOSS_DELTA = change(-0.5)
    SPREAD = Scale(centre=0.25, spread=-0.25)
    PROBLEM_SHARE = Scale(centre=0.5, spread=-0.5)


def observation_graph(
    observation: Observation,
    previous: Mapping[str, BlockHealth],
    *,
    price: float,
    num_problem_slots: int | None = None,
) -> "Data":
    """Return the graph of an observation.

    Args:
        observation: with the data flow of its host.
        previous: the probes before the last ones, by slot, from `HealthTrends.update`.
        price: relative gain that a doubling of the network's FLOPs must bring, in [0, 1].
        num_problem_slots: slots whose health score is under 0.3; None if unknown.

    Returns:
        x: (S, C), a row a slot in the order of the observation: the columns of `NodeFeature`, then
            those of `SlotFeature`.
        edge_index: (2, 2 E), every edge along the data, then every edge against them.
        edge_attr: (2 E, K), the columns of `EdgeFeature`.
        u: (1, G), the columns of `RunFeature`.
        All but the indices are scaled to [-1, 1], with `UNKNOWN` for what is unknown.

    Raises:
        ConfigError: if the extra `policy` is not installed.
        ValueError: if the observation has no data flow.
    """
    data_class = _geometric_data()
    flow = observation.data_flow
    if flow is None:
        raise ValueError("an observation has a data flow only if its policy reads health")
    nodes = scaled_rows(node_features(observation, flow, previous), NodeFeature)
    slots = scaled_rows(slot_features(observation), SlotFeature)
    pairs, edges = _edges(observation, flow)
    run = _run_features(observation, price, num_problem_slots)
    graph: Data = data_class(
        x=torch.from_numpy(np.concatenate([nodes, slots], axis=1)),
        edge_index=torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T.contiguous(),
        edge_attr=torch.from_numpy(edges),
        u=torch.from_numpy(scaled_rows([run], RunFeature)),
    )
    return graph


def load_library() -> None:
    """Import what graphs need, which takes seconds; raise `ConfigError` if it is missing."""
    _geometric_data()


@cache
def _geometric_data() -> Any:
    """Return the class of graphs; raise `ConfigError` if the extra `policy` is missing."""
    if find_spec("torch_geometric") is None:
        raise ConfigError(
            "a graph of the slots needs a library that is not installed: "
            "pip install 'esper-morph[policy]'"
        )
    with warnings.catch_warnings():
        # Its import calls functions of torch that are deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        from torch_geometric.data import Data
    return Data


def _edges(observation: Observation, flow: DataFlow) -> tuple[list[tuple[int, int]], Floats]:
    """Return pairs of nodes, and the scaled row of each: all along the data, then all against."""
    sizes = {slot.spec.name: width_and_positions(slot.spec) for slot in observation.slots}
    places = {name: place for place, name in enumerate(sizes)}
    pairs, rows = [], []
    for edge in flow.edges:
        (width, positions), (next_width, next_positions) = sizes[edge.source], sizes[edge.target]
        pairs.append((places[edge.source], places[edge.target]))
        rows.append(
            [
                edge.weights == 0,
                edge.weights,
                edge.operations,
                flow.positions[edge.target] - flow.positions[edge.source],
                math.log(next_width / width),
                math.log(next_positions / positions),
                edge.share,
                1.0,
            ]
        )
    forward = scaled_rows(rows, EdgeFeature)
    backward = forward.copy()
    backward[:, EdgeFeature.IS_FORWARD] = EdgeFeature.IS_FORWARD.scale(0)
    edges = np.concatenate([forward, backward])
    return pairs + [(target, source) for source, target in pairs], edges


def _run_features(
    observation: Observation, price: float, num_problem_slots: int | None
) -> list[float]:
    """Return the raw row of the run, columns as in `RunFeature`; NaN is unknown."""
    num_slots = max(1, len(observation.slots))
    values = [
        price,
        observation.epoch / observation.epochs,
        observation.metrics.train_loss,
        observation.metrics.val_loss,
        observation.best_val_loss,
        observation.loss_delta,
        _spread(observation.val_losses[-HISTORY:]),
        None if num_problem_slots is None else num_problem_slots / num_slots,
    ]
    return [number(value) for value in values]


def _spread(losses: tuple[float, ...]) -> float | None:
    """Return the standard deviation relative to the mean; None of fewer than two, or around 0."""
    known = [loss for loss in losses if math.isfinite(loss)]
    mean = statistics.fmean(known) if known else 0.0
    return statistics.pstdev(known) / abs(mean) if len(known) > 1 and mean else None
