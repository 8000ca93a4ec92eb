"""Slots that a probe has measured, for tests of policies that read health."""

from dataclasses import replace
from typing import Any

from esper.contracts.data_flow import DataFlow
from esper.contracts.health import Birth, BlockHealth
from esper.contracts.metrics import EpochMetrics
from esper.contracts.observation import Observation
from esper.contracts.slot import SlotState
from tests.unit.policy.builders import make_observation, make_seed, make_slot

FLOW = DataFlow(
    positions={"a": 0.0, "b": 1.0, "c": 0.5}, outputs=("b",), unavoidable=("b",), edges=()
)
"""Residual blocks, and one that all data pass."""


def make_health(**changes: Any) -> BlockHealth:
    """Return the health of the first block; what is not given was not measured."""
    return replace(BlockHealth(epoch=9, log_parameters=4.0, position=0.0), **changes)


def make_birth(blueprint: str = "mlp", first_order: float | None = 1.0) -> Birth:
    """Return what a kernel would be that costs as much as the network."""
    return Birth(blueprint=blueprint, first_order=first_order, added_flops=1.0)


def measured_slot(name: str, *births: Birth, **health: Any) -> SlotState:
    """Return a slot whose dormant seeds are bound to the blueprints of its births."""
    seeds = tuple(make_seed(bound=birth.blueprint, risk=0.2) for birth in births)
    return make_slot(name, seeds, health=make_health(**health), births=births)


def seen(*slots: SlotState, epoch: int = 10, **changes: Any) -> Observation:
    """Return an observation of epoch 10 of 40, with losses of 0.5 and 0.25."""
    metrics = EpochMetrics(epoch=epoch, global_step=100, val_loss=0.5, train_loss=0.25)
    values = {"metrics": metrics, "slots": slots, "data_flow": FLOW, **changes}
    return make_observation(epoch, **values)
