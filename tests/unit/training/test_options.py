import math
from typing import Any

import pytest

from esper.training.options import Training


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("optimizer", "lion", "be one of adamw, adam, sgd"),
        ("schedule", "step", "be one of wsd, constant, cosine"),
        ("lr", 0.0, "be > 0 and finite"),
        ("lr", math.nan, "be > 0 and finite"),
        ("lr", math.inf, "be > 0 and finite"),
        ("weight_decay", -0.1, "be >= 0 and finite"),
        ("clip_norm", -1.0, "be >= 0 and finite"),
        ("clip_norm", math.nan, "be >= 0 and finite"),
        ("momentum", 1.0, r"be in [0, 1)"),
        ("decay_from", 1.1, "be in [0, 1]"),
        ("decay_from", math.nan, "be in [0, 1]"),
        ("threads", 0, "be >= 1"),
        ("steps_per_epoch", 0, "be >= 1 or null"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_key_and_rule(
    key: str, value: Any, rule: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Training(**{key: value})
    assert str(caught.value) == f"training.{key} must {rule}, got {value!r}"


def test_limits_themselves_are_allowed() -> None:
    Training(weight_decay=0.0, clip_norm=0.0, momentum=0.0, decay_from=0.0, steps_per_epoch=1)
    Training(decay_from=1.0)
