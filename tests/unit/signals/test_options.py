import math

import pytest

from esper.signals.options import Signals


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history_window": 1}, "signals.history_window must be >= 2, got 1"),
        ({"plateau_threshold": 0.0}, r"signals.plateau_threshold must be in \(0, 1\), got 0.0"),
        ({"plateau_threshold": math.nan}, "signals.plateau_threshold"),
        ({"plateau_smoothing": 1.0}, r"signals.plateau_smoothing must be in \[0, 1\), got 1.0"),
        ({"plateau_smoothing": math.nan}, "signals.plateau_smoothing"),
        ({"probe_every": 0}, "signals.probe_every must be >= 1, got 0"),
        ({"probe_every": 1.5}, "signals.probe_every"),
    ],
)
def test_a_bad_value_is_refused_by_its_key(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Signals(**changes)  # type: ignore[arg-type]
