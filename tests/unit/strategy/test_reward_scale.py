"""The map of rewards to [0, 1]: by hand, free of scale, and sane on little data."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.strategy.reward_scale import RewardScale

REWARDS = st.lists(st.floats(-10, 10), min_size=1, max_size=40)


def _scale(rewards: list[float]) -> RewardScale:
    scale = RewardScale()
    for reward in rewards:
        scale.add(reward)
    return scale


def test_by_hand() -> None:
    scale = _scale([1.0, 3.0, 5.0, 7.0])  # mean 4, squares 20, deviation sqrt(20 / 3)
    deviation = math.sqrt(20 / 3)
    assert scale.mean == 4.0
    assert scale.deviation == pytest.approx(deviation)
    assert scale.unit(4.0) == pytest.approx(0.5)
    assert scale.unit(4.0 + deviation) == pytest.approx(0.75)
    assert scale.unit(4.0 - 2 * deviation) == pytest.approx(0.0)
    assert scale.unit(1000.0) == 1.0
    assert scale.units([-1000.0, 4.0, 1000.0]) == pytest.approx((0.0, 0.5, 1.0))


def test_no_reward_one_reward_and_equal_rewards_map_to_a_half() -> None:
    assert _scale([]).unit(3.0) == 0.5
    assert _scale([3.0]).unit(3.0) == 0.5
    assert _scale([0.1] * 7).unit(0.1 * 7 / 7) == 0.5


@given(rewards=REWARDS, factor=st.sampled_from([1e-6, 100.0, 1e9]))
def test_the_unit_of_the_rewards_is_of_no_matter(rewards: list[float], factor: float) -> None:
    small, large = _scale(rewards), _scale([factor * reward for reward in rewards])
    if small.deviation > 1e-6:
        units = large.units([factor * reward for reward in rewards])
        assert units == pytest.approx(small.units(rewards), abs=1e-6)


@given(rewards=REWARDS)
def test_every_unit_is_in_range_and_the_order_is_kept(rewards: list[float]) -> None:
    scale = _scale(rewards)
    units = scale.units(sorted(rewards))
    assert all(0 <= unit <= 1 for unit in units)
    assert list(units) == sorted(units)
    assert [scale.unit(reward) for reward in sorted(rewards)] == list(units)


@given(rewards=REWARDS)
def test_mean_and_deviation_are_those_of_the_textbook(rewards: list[float]) -> None:
    scale = _scale(rewards)
    mean = math.fsum(rewards) / len(rewards)
    assert scale.mean == pytest.approx(mean, abs=1e-9)
    if len(rewards) > 1:
        squares = math.fsum((reward - mean) ** 2 for reward in rewards)
        assert scale.deviation == pytest.approx(math.sqrt(squares / (len(rewards) - 1)), abs=1e-7)


def test_the_state_survives_json() -> None:
    scale = _scale([0.1, 0.2, 0.7])
    restored = RewardScale()
    restored.load_state_dict(json.loads(json.dumps(scale.state_dict())))
    for each in (scale, restored):
        each.add(0.4)
    assert restored.unit(0.3) == scale.unit(0.3)


@pytest.mark.parametrize("before", [[], [2.0], [0.5, 4.0, -1.0]])
def test_an_expected_reward_without_spread_counts_as_one(before: list[float]) -> None:
    expecting = _scale(before)
    expecting.expect(3.0, 0.0)
    plain = _scale([*before, 3.0])
    assert expecting.count == plain.count
    assert expecting.mean == pytest.approx(plain.mean)
    assert expecting.deviation == pytest.approx(plain.deviation)
    assert expecting.unit(3.5) == pytest.approx(plain.unit(3.5))


def test_an_expected_reward_has_its_spread() -> None:
    scale = RewardScale()
    scale.expect(0.0, 3.0)
    scale.expect(0.0, 1.0)
    # Squares 9 and 1 around 0, over 2 - 1.
    assert scale.deviation == pytest.approx(math.sqrt(10))
