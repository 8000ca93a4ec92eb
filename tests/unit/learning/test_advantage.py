"""Advantages, by hand."""

import pytest
import torch

from esper.learning.advantage import explained_variance, gae, leave_one_out, normalised


def test_a_return_is_compared_with_the_mean_of_the_others() -> None:
    found = leave_one_out(torch.tensor([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]]))
    # 1 - (2 + 6) / 2, 2 - (1 + 6) / 2, 6 - (1 + 2) / 2
    assert found.tolist() == [[-3.0, -1.5, 4.5], [-1.5, -1.5, 3.0]]


def test_a_single_episode_has_no_others() -> None:
    with pytest.raises(ValueError, match="leave-one-out needs >= 2 episodes of a task, got 1"):
        leave_one_out(torch.tensor([[1.0], [2.0]]))


def test_gae_of_three_steps() -> None:
    # deltas: 0 + 0.9 * 2 - 1 = 0.8;  0.5 + 0.9 * 4 - 2 = 2.1;  3 - 4 = -1; decay 0.9 * 0.5 = 0.45
    found = gae([0.0, 0.5, 3.0], [1.0, 2.0, 4.0], decay=0.5, discount=0.9)
    assert found == pytest.approx([0.8 + 0.45 * (2.1 - 0.45), 2.1 - 0.45, -1.0])


@pytest.mark.parametrize(("decay", "expected"), [(1.0, [2.0, 1.0, -1.0]), (0.0, [1.0, 2.0, -1.0])])
def test_gae_is_the_return_or_one_step_at_its_ends(decay: float, expected: list[float]) -> None:
    assert gae([0.0, 0.0, 3.0], [1.0, 2.0, 4.0], decay=decay) == expected


def test_advantages_that_differ_get_mean_0_and_deviation_1() -> None:
    assert normalised(torch.tensor([1.0, 3.0])).tolist() == pytest.approx([-1.0, 1.0])
    assert normalised(torch.tensor([2.0, 2.0])).tolist() == [0.0, 0.0]


def test_explained_variance() -> None:
    returns = torch.tensor([0.0, 2.0])
    assert explained_variance(returns, returns) == 1.0
    assert explained_variance(torch.tensor([1.0, 1.0]), returns) == 0.0
    assert explained_variance(torch.tensor([0.5, 1.5]), returns) == pytest.approx(0.75)
    assert explained_variance(returns, torch.tensor([1.0, 1.0])) == 0.0
