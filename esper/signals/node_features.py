"""Convert each slot's block to a row of numbers: its place, its health and how that changes."""

from collections.abc import Mapping

from esper.contracts.data_flow import DataFlow
from esper.contracts.health import BlockHealth
from esper.contracts.observation import Observation
from esper.contracts.slot import Placement, SlotKind, SlotSpec, SlotState
from esper.signals.features import number
from esper.signals.scale import Column, Scale, change, count, share

HEALTH = (
    "activation_variance",
    "weight_norm",
    "linear_gain",
    "effective_rank",
    "gradient_norm",
    "gradient_ratio",
    "update_ratio",
    "dead_units",
    "correlation",
    "gradient_noise",
)
"""The measured fields of `BlockHealth`, in the order of their columns."""


class NodeFeature(Column):
    """The columns of a block's row; fields of `BlockHealth` have its units.

    WIDTH and POSITIONS: features, and places in time or space, of the block's output.
    PROBE_AGE: epochs since the probe.  *_CHANGE: value at the last probe minus that at the one
    before.
    """

    POSITION = share()
    FEEDS_OUTPUT = share()
    IS_DENSE = share()
    IS_FEATURE_MAP = share()
    IS_SEQUENCE = share()
    IS_PARALLEL = share()
    WIDTH = count(10_000)
    POSITIONS = count(100_000)
    PROBE_AGE = count(30)
    LOG_PARAMETERS = Scale(centre=8.0, spread=8.0)
    ACTIVATION_VARIANCE = Scale(centre=0.0, spread=8.0)
    WEIGHT_NORM = Scale(centre=-3.0, spread=4.0)
    LINEAR_GAIN = change(1.0)
    EFFECTIVE_RANK = share()
    GRADIENT_NORM = Scale(centre=-8.0, spread=8.0)
    GRADIENT_RATIO = change(4.0)
    UPDATE_RATIO = Scale(centre=-5.0, spread=5.0)
    DEAD_UNITS = Scale(centre=0.5, spread=-0.5)
    CORRELATION = Scale(centre=0.5, spread=-0.5)
    GRADIENT_NOISE = Scale(centre=0.0, spread=8.0)
    ACTIVATION_VARIANCE_CHANGE = change(2.0)
    WEIGHT_NORM_CHANGE = change(1.0)
    LINEAR_GAIN_CHANGE = change(0.5)
    EFFECTIVE_RANK_CHANGE = change(0.5)
    GRADIENT_NORM_CHANGE = change(4.0)
    GRADIENT_RATIO_CHANGE = change(2.0)
    UPDATE_RATIO_CHANGE = change(4.0)
    DEAD_UNITS_CHANGE = change(-0.5)
    CORRELATION_CHANGE = change(-0.5)
    GRADIENT_NOISE_CHANGE = change(4.0)


def node_features(
    observation: Observation, flow: DataFlow, previous: Mapping[str, BlockHealth]
) -> list[list[float]]:
    """Return a raw row for each slot, columns as in `NodeFeature`; NaN is unknown.

    A row depends on its own slot alone.  `previous` are the probes before the last, by slot.
    """
    outputs = frozenset(flow.outputs)
    return [
        [
            *_place(slot.spec, flow, outputs),
            *_health(slot, observation.epoch, previous.get(slot.spec.name)),
        ]
        for slot in observation.slots
    ]


def width_and_positions(spec: SlotSpec) -> tuple[int, int]:
    """Return the features of a block's output, and its places in time or space."""
    match spec.out_shape:
        case (channels, height, width):
            return channels, height * width
        case (positions, features):
            return features, positions
        case _:
            return spec.out_shape[0], 1


def _place(spec: SlotSpec, flow: DataFlow, outputs: frozenset[str]) -> list[float]:
    width, positions = width_and_positions(spec)
    return [
        flow.positions[spec.name],
        spec.name in outputs,
        *(spec.kind is kind for kind in (SlotKind.DENSE, SlotKind.FEATURE_MAP, SlotKind.SEQUENCE)),
        spec.placement is Placement.PARALLEL,
        width,
        positions,
    ]


def _health(slot: SlotState, epoch: int, before: BlockHealth | None) -> list[float]:
    now = slot.health
    age = None if now is None else epoch - now.epoch
    log_parameters = None if now is None else now.log_parameters
    values = [_measured(now, name) for name in HEALTH]
    changes = [value - _measured(before, name) for name, value in zip(HEALTH, values, strict=True)]
    return [number(age), number(log_parameters), *values, *changes]


def _measured(health: BlockHealth | None, name: str) -> float:
    """Return a measured field; NaN if it is unknown or not finite."""
    return number(None if health is None else getattr(health, name))
