"""The benchmark of growth episodes: what it counts and times."""

import time

import pytest

from experiments.benchmarks.episodes import POLICIES, play
from tests.unit.run.episodes.small_tasks import small_task


@pytest.mark.parametrize("player", [*POLICIES, "agent"])
def test_every_step_between_the_first_and_the_last_is_timed(player: str) -> None:
    began = time.perf_counter()
    steps, first, last = play(player, small_task(epochs=8))
    assert steps == 6
    assert began < first < last < time.perf_counter()
