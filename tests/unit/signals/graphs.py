"""Observations with a data flow, for tests of graphs."""

from typing import Any

from esper.contracts.data_flow import DataFlow, Edge
from esper.contracts.health import BlockHealth
from esper.contracts.observation import Observation
from tests.unit.policy.builders import make_observation, make_slot

NAMES = ("first", "second", "third")
FLOW = DataFlow(
    positions={"first": 0.0, "second": 0.5, "third": 1.0},
    outputs=("third",),
    unavoidable=("first", "third"),
    edges=(
        Edge(source="first", target="second", weights=0, operations=1, share=1.0),
        Edge(source="first", target="third", weights=0, operations=2, share=0.5),
        Edge(source="second", target="third", weights=1, operations=1, share=0.5),
    ),
)


def make_health(epoch: int = 9, **changes: Any) -> BlockHealth:
    """Return the health of a block, of which all is known."""
    known = {
        "log_parameters": 8.0,
        "position": 0.5,
        "activation_variance": 1.0,
        "weight_norm": -2.0,
        "linear_gain": 0.25,
        "effective_rank": 0.5,
        "gradient_norm": -6.0,
        "gradient_ratio": 0.5,
        "update_ratio": -4.0,
        "dead_units": 0.25,
        "correlation": 0.125,
        "gradient_noise": 2.0,
    }
    return BlockHealth(epoch=epoch, **(known | changes))


def observed(*healths: BlockHealth | None, **changes: Any) -> Observation:
    """Return an observation of three slots at epoch 10, with these healths."""
    slots = tuple(
        make_slot(name, health=health) for name, health in zip(NAMES, healths, strict=True)
    )
    return make_observation(slots=slots, **({"data_flow": FLOW} | changes))
