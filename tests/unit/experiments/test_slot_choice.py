"""What the choice of a slot is worth, by hand."""

from typing import Any

import pytest

from esper.run.episodes.task import draw_task
from experiments.slot_choice import agreement, choices, values


def row(predicted: list[float], measured: list[float]) -> dict[str, Any]:
    """Return the gains of two slots, whose kernels cost nothing."""
    names = ("a", "b")
    return {
        "predicted": dict(zip(names, predicted, strict=True)),
        "measured": dict(zip(names, measured, strict=True)),
        "log2_flops": dict.fromkeys(names, 0.0),
    }


# The planner finds the better slot of task 0, which leads by 0.2 in the mean, and not that of task
# 2, which leads by 0.04.
TASKS = {
    0: [row([0.3, 0.1], [0.4, 0.1]), row([0.3, 0.1], [0.2, 0.1])],
    2: [row([0.3, 0.1], [-0.2, 0.1]), row([0.3, 0.1], [0.3, 0.08])],
}


def test_slots_are_right_or_wrong_where_one_leads() -> None:
    assert choices(TASKS)["tasks"] == 1
    assert choices(TASKS)["top_1"][0] == 1.0


def test_the_value_of_a_choice_is_that_of_its_slot_in_both_seeds() -> None:
    assert draw_task(0).is_scarce
    assert draw_task(2).is_scarce
    found = values(TASKS)["scarce"]
    assert found["planner"][0] == pytest.approx((0.3 + 0.05) / 2)
    # The first seed of task 2 prefers b, the second a: 0.08 and -0.2.
    assert found["repeat"][0] == pytest.approx((0.3 - 0.06) / 2)
    assert found["random"][0] == pytest.approx((0.2 + 0.07) / 2)


def test_noise_is_the_difference_of_the_seeds() -> None:
    found = agreement(TASKS)
    # Differences 0.2, 0, -0.5, 0.02: the mean square is twice the variance.
    assert found["noise"] == pytest.approx(((0.04 + 0.25 + 0.0004) / 4 / 2) ** 0.5)
    assert found["gains"] == 4
