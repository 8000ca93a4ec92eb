import math
from typing import Any

import pytest

from esper.safety.options import GovernorOptions, Safety


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_confidence": 1.5}, r"safety.min_confidence must be in \[0, 1\], got 1.5"),
        ({"max_uncertainty": math.nan}, "safety.max_uncertainty"),
        ({"max_risk": -0.1}, "safety.max_risk"),
        ({"max_adaptations_per_epoch": -1}, "safety.max_adaptations_per_epoch must be >= 0"),
        ({"max_changes_per_epoch": -1}, "safety.max_changes_per_epoch must be >= 0, got -1"),
        ({"max_live_seeds": -1}, "safety.max_live_seeds must be >= 0 or null, got -1"),
        ({"max_events": -1}, "safety.max_events must be >= 0 or null, got -1"),
        ({"max_events": 2.5}, "safety.max_events must be a whole number"),
        ({"parameter_budget": 0}, "safety.parameter_budget must be > 0 or null, got 0"),
        ({"memory_budget_mb": math.nan}, "safety.memory_budget_mb"),
        ({"max_cost": 0.99}, "safety.max_cost must be >= 1 and finite, or null, got 0.99"),
        ({"max_cost": math.nan}, "safety.max_cost must be >= 1 and finite"),
        ({"max_cost": math.inf}, "safety.max_cost must be >= 1 and finite"),
    ],
)
def test_a_bad_limit_is_refused_by_its_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Safety(**changes)


def test_events_are_counted_down_to_none_left() -> None:
    assert [Safety(max_events=2).events_left(events) for events in range(5)] == [2, 1, 0, 0, 0]
    assert Safety(max_events=0).events_left(0) == 0
    assert Safety().events_left(10**6) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rise": 1.0}, "governor.rise must be > 1 and finite, got 1.0"),
        ({"rise": math.nan}, "governor.rise must be > 1 and finite, got nan"),
        ({"window": 0}, "governor.window must be a whole number >= 1, got 0"),
        ({"window": 2.5}, "governor.window must be a whole number, got 2.5"),
        ({"sustained": 0}, "governor.sustained must be a whole number >= 1, got 0"),
        ({"max_rollbacks": 0}, "governor.max_rollbacks must be a whole number >= 1, got 0"),
        ({"armed_below": 0.0}, r"governor.armed_below must be in \(0, 1\], got 0.0"),
        ({"floor": 1.0}, r"governor.floor must be in \[0, 1\), got 1.0"),
    ],
)
def test_a_bad_option_of_the_governor_is_refused_by_its_key(
    changes: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        GovernorOptions(**changes)  # type: ignore[arg-type]
