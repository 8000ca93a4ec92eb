"""Budgets in words."""

import math

import pytest

from esper.contracts.budget import Budget


@pytest.mark.parametrize(
    ("text", "seconds", "flops"),
    [
        ("none", math.inf, math.inf),
        ("90s", 90, math.inf),
        ("1.5m", 90, math.inf),
        ("2h", 7200, math.inf),
        ("3e12FLOPs", math.inf, 3e12),
        ("5GFLOPs", math.inf, 5e9),
        ("500MFLOPs", math.inf, 5e8),
    ],
)
def test_a_text_names_a_time_or_flops(text: str, seconds: float, flops: float) -> None:
    assert Budget.parse(text) == Budget(seconds, flops)


@pytest.mark.parametrize("text", ["", "10", "0s", "-1s", "1.2.3s", "10 s", "5flops", "nan", "infs"])
def test_what_is_no_budget_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"^budget must be none, a time such as 90s") as caught:
        Budget.parse(text)
    assert str(caught.value).endswith(f"got {text!r}")


def test_a_run_is_over_once_one_of_both_is_used() -> None:
    assert Budget(seconds=3).is_used(3.0, 0.0)
    assert not Budget(seconds=3).is_used(2.9, 1e30)
    assert Budget(flops=5).is_used(0.0, 5.0)
    assert not Budget().is_used(1e30, 1e30)
