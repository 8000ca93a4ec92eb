import math
from dataclasses import replace

import pytest

from esper.contracts.slot import SlotKind
from esper.signals.node_features import NodeFeature, node_features, width_and_positions
from esper.signals.scale import UNKNOWN, scaled
from tests.unit.policy.builders import make_slot
from tests.unit.signals.graphs import FLOW, make_health, observed

N = NodeFeature


def test_a_row_describes_the_place_the_health_and_its_change() -> None:
    before = {"second": make_health(6, dead_units=0.5, weight_norm=-2.5)}
    _, row, _ = node_features(observed(None, make_health(), None), FLOW, before)
    assert row[: N.LOG_PARAMETERS] == [0.5, 0, 1, 0, 0, 1, 8, 1, 1]
    assert row[N.LOG_PARAMETERS : N.ACTIVATION_VARIANCE_CHANGE] == [
        *(8.0, 1.0, -2.0, 0.25, 0.5, -6.0, 0.5, -4.0, 0.25, 0.125, 2.0)
    ]
    assert row[N.ACTIVATION_VARIANCE_CHANGE :] == [0, 0.5, 0, 0, 0, 0, 0, -0.25, 0, 0]


def test_scaled_values_follow_the_fixed_constants() -> None:
    _, row, _ = node_features(observed(None, make_health(), None), FLOW, {})
    values = scaled(row, N)
    assert values[N.POSITION] == 0.0
    assert values[N.ACTIVATION_VARIANCE] == pytest.approx(1 / 8)
    assert values[N.DEAD_UNITS] == 0.5
    assert values[N.DEAD_UNITS_CHANGE] == UNKNOWN


def test_what_no_probe_measured_is_unknown_and_not_healthy() -> None:
    first, second, _ = node_features(
        observed(None, make_health(linear_gain=None, gradient_norm=math.inf), None), FLOW, {}
    )
    assert all(math.isnan(value) for value in first[N.PROBE_AGE :])
    assert not any(math.isnan(value) for value in first[: N.PROBE_AGE])
    unknown = [column for column in N if math.isnan(second[column])]
    assert unknown[:2] == [N.LINEAR_GAIN, N.GRADIENT_NORM]
    assert unknown[2:] == [column for column in N if column.name.endswith("_CHANGE")]


@pytest.mark.parametrize(
    ("kind", "shape", "expected"),
    [
        (SlotKind.DENSE, (8,), (8, 1)),
        (SlotKind.SEQUENCE, (6, 8), (8, 6)),
        (SlotKind.FEATURE_MAP, (8, 2, 3), (8, 6)),
    ],
)
def test_features_and_positions_of_each_kind(
    kind: SlotKind, shape: tuple[int, ...], expected: tuple[int, int]
) -> None:
    spec = replace(make_slot().spec, kind=kind, out_shape=shape)
    assert width_and_positions(spec) == expected
