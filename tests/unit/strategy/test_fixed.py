"""The baseline that always chooses seed 0."""

import math
from collections.abc import Callable
from random import Random
from typing import Any

from esper.strategy.base import Context
from esper.strategy.fixed import Fixed

Make = Callable[..., Any]


def test_it_wants_seed_0_and_no_other(make_arm: Make) -> None:
    arms = [make_arm(2, trials=9, mean_reward=1.0), make_arm(0), make_arm(1)]
    scores = Fixed().scores(arms, Context(), Random(0))
    assert scores == [-math.inf, 0.0, -math.inf]
