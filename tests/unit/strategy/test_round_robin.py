"""The baseline that chooses every seed in turn."""

from collections.abc import Callable
from random import Random
from typing import Any

from esper.strategy.base import Context
from esper.strategy.round_robin import RoundRobin

Make = Callable[..., Any]


def test_the_seed_selected_least_often_is_first_then_the_lower_one(make_arm: Make) -> None:
    arms = [
        make_arm(3, selections=1),
        make_arm(0, selections=2),
        make_arm(1, selections=1, first_order=9.0),
    ]
    scores = RoundRobin().scores(arms, Context(), Random(0))
    assert scores == [-1.0, -2.0, 0.0]


def test_the_seeds_take_turns(make_arm: Make) -> None:
    counts = [0, 0, 0]
    order = []
    for _ in range(7):
        arms = [make_arm(index, selections=count) for index, count in enumerate(counts)]
        scores = RoundRobin().scores(arms, Context(), Random(0))
        chosen = scores.index(max(scores))
        order.append(chosen)
        counts[chosen] += 1
    assert order == [0, 1, 2, 0, 1, 2, 0]
