"""Experiences that are drawn again."""

from collections import Counter

import pytest
import torch

from esper.checkpoint.tree import join, split
from esper.learning.ppo import Experience
from esper.learning.replay import EPSILON, Replay
from tests.unit.learning.situations import make_situation


def experiences(*advantages: float) -> list[Experience]:
    return [Experience(make_situation(0.1), 1, -0.5, each, each) for each in advantages]


def held(replay: Replay) -> list[float]:
    return [each.advantage for _, each in replay.held]


def test_old_experiences_and_those_beyond_the_capacity_are_forgotten() -> None:
    replay = Replay(capacity=3, most_age=2)
    replay.add(experiences(1.0, 2.0), update=0)
    replay.add(experiences(3.0, 4.0), update=1)
    assert held(replay) == [2.0, 3.0, 4.0]
    replay.add(experiences(5.0), update=2)
    assert held(replay) == [3.0, 4.0, 5.0]
    replay.add([], update=3)
    assert held(replay) == [5.0]


def test_experiences_are_drawn_by_their_priorities_and_weighted_against_them() -> None:
    replay = Replay(sharpness=1.0, correction=1.0)
    replay.add(experiences(0.1 - EPSILON, -(0.3 - EPSILON)), update=0)
    drawn = replay.draw(4000, torch.Generator().manual_seed(0))
    counts = Counter(each.advantage < 0 for each in drawn)
    # 3 of 4 have the larger advantage; a binomial deviation is 27.
    assert counts[True] == pytest.approx(3000, abs=110)
    weights = {each.advantage < 0: each.weight for each in drawn}
    assert weights == {False: pytest.approx(1.0), True: pytest.approx(1 / 3)}


def test_without_sharpness_all_are_drawn_alike() -> None:
    replay = Replay(sharpness=0.0)
    replay.add(experiences(0.1, 9.0), update=0)
    drawn = replay.draw(4000, torch.Generator().manual_seed(0))
    assert sum(each.advantage > 1 for each in drawn) == pytest.approx(2000, abs=130)
    assert {each.weight for each in drawn} == {1.0}


def test_an_empty_memory_draws_nothing() -> None:
    with pytest.raises(ValueError, match="there is no experience to draw"):
        Replay().draw(1, torch.Generator())


def test_a_memory_survives_a_checkpoint() -> None:
    replay, other = Replay(), Replay()
    replay.add(experiences(0.5, -1.0), update=7)
    other.load_state_dict(join(*split(replay.state_dict())))
    pairs = [
        [each.draw(20, torch.Generator().manual_seed(3)) for each in (replay, other)],
    ]
    for one, two in zip(*pairs[0], strict=True):
        assert (one.advantage, one.weight, one.action) == (two.advantage, two.weight, two.action)
        assert torch.equal(one.situation.nodes, two.situation.nodes)
