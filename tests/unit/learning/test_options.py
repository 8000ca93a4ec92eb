"""The keys of `learning`."""

import math
from typing import Any

import pytest

from esper.learning.options import Learning


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("hidden", 6, "a multiple of heads=4"),
        ("hidden", 0, "a multiple of heads=4"),
        ("heads", 0, ">= 1"),
        ("layers", -1, ">= 0"),
        ("rate", 0.0, "finite and > 0"),
        ("rate", math.inf, "finite and > 0"),
        ("clip", 1.0, "in (0, 1)"),
        ("passes", 0, ">= 1"),
        ("batch_size", 0, ">= 1"),
        ("entropy", -0.1, "finite and >= 0"),
        ("value_weight", math.nan, "finite and >= 0"),
        ("most_kl", 0.0, "finite and > 0"),
        ("max_risk", 1.1, "in [0, 1]"),
        ("dropout", 1.0, "in [0, 1)"),
        ("tasks_at_once", 0, ">= 1"),
        ("rollouts", 1, ">= 2"),
        ("baseline", "mean", "one of leave_one_out, value, never"),
        ("gae_decay", 1.5, "in [0, 1]"),
        ("training_price", -1.0, "finite and >= 0"),
        ("replay", -1, ">= 0"),
        ("replay_age", 0, ">= 1"),
        ("patience", -1, ">= 0"),
        ("members", 1, ">= 2"),
        ("penalty", 0.0, "> 0"),
    ],
)
def test_what_is_out_of_range_is_refused(key: str, value: Any, allowed: str) -> None:
    with pytest.raises(ValueError, match=f"learning.{key} must be") as caught:
        Learning(**{key: value})
    assert allowed in str(caught.value)


def test_a_target_network_needs_the_baseline_that_reads_it() -> None:
    assert Learning(baseline="value", target_every=5).target_every == 5
    with pytest.raises(ValueError, match=r"has no effect without learning\.baseline=value"):
        Learning(target_every=5)
