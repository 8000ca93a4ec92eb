"""The baseline that chooses uniformly."""

from collections import Counter
from collections.abc import Callable
from random import Random as Rng
from typing import Any

import pytest

from esper.strategy.base import Context
from esper.strategy.random import Random

Make = Callable[..., Any]


def test_every_arm_is_as_likely_whatever_it_earned(make_arm: Make) -> None:
    arms = [make_arm(0, trials=9, mean_reward=1.0), make_arm(1), make_arm(2, trials=1)]
    rng = Rng(5)
    chosen = Counter()
    for _ in range(6000):
        scores = Random().scores(arms, Context(), rng)
        chosen[scores.index(max(scores))] += 1
    assert [chosen[index] / 6000 for index in range(3)] == pytest.approx([1 / 3] * 3, abs=0.02)
