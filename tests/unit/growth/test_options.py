import math
from typing import Any

import pytest

from esper.growth.options import Growth


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ramp": "step"}, "growth.ramp must be one of linear, cosine, sigmoid, got 'step'"),
        ({"on_cull": "keep"}, "growth.on_cull must be one of remove, twin, got 'keep'"),
        ({"attribution": "x"}, "growth.attribution must be one of twin, ablation, got 'x'"),
        ({"isolation_lr_factor": -0.1}, "growth.isolation_lr_factor must be >= 0.0 and finite"),
        ({"lr_factor": math.nan}, "growth.lr_factor must be >= 0.0 and finite, got nan"),
        ({"warmup_epochs": math.inf}, "growth.warmup_epochs must be >= 0.0 and finite, got inf"),
        ({"window": 0}, "growth.window must be >= 1 and finite, got 0"),
        ({"divergence_factor": 0.5}, "growth.divergence_factor must be >= 1.0 and finite"),
        ({"shadowing_epochs": 4}, "growth.twin_epochs must be 7, the epochs from germination"),
        ({"twin_epochs": 5}, "growth.twin_epochs must be 6, .* got 5"),
        (
            {"on_cull": "twin", "attribution": "ablation"},
            "growth.on_cull=twin needs growth.attribution=twin, got ablation",
        ),
    ],
)
def test_what_cannot_be_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Growth(**fields)


def test_longer_stages_want_a_longer_twin() -> None:
    assert Growth(training_epochs=2, blending_epochs=2, twin_epochs=8).shadowing_epochs == 3
