import math
from typing import Any

import pytest

from esper.growth.options import Growth, ReadOut


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ramp": "step"}, "growth.ramp must be one of linear, cosine, sigmoid, got 'step'"),
        ({"on_cull": "keep"}, "growth.on_cull must be one of remove, twin, got 'keep'"),
        ({"isolation_lr_factor": -0.1}, "growth.isolation_lr_factor must be >= 0.0 and finite"),
        ({"lr_factor": math.nan}, "growth.lr_factor must be >= 0.0 and finite, got nan"),
        ({"warmup_epochs": math.inf}, "growth.warmup_epochs must be >= 0.0 and finite, got inf"),
        ({"training_epochs": 0}, "growth.training_epochs must be >= 1 and finite, got 0"),
        ({"blending_epochs": 0}, "growth.blending_epochs must be >= 1 and finite, got 0"),
        ({"shadowing_epochs": 0}, "growth.shadowing_epochs must be >= 1 and finite, got 0"),
        ({"divergence_factor": 0.5}, "growth.divergence_factor must be >= 1.0 and finite"),
    ],
)
def test_what_cannot_be_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Growth(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"read_out": "x"}, "run.read_out must be one of best_average, last, got 'x'"),
        ({"average": -0.5}, "run.average must be >= 0 and finite, got -0.5"),
        ({"average": math.inf}, "run.average must be >= 0 and finite, got inf"),
        ({"average": math.nan}, "run.average must be >= 0 and finite, got nan"),
    ],
)
def test_an_impossible_read_out_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReadOut(**fields)


def test_a_trial_begins_after_isolation_and_blending() -> None:
    assert Growth().epochs_to_trial == 2
    assert Growth(training_epochs=2, blending_epochs=3).epochs_to_trial == 5
