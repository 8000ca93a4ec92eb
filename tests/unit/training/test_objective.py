import math

import pytest
import torch

from esper.training.objective import mean_loss, sample_hits, sample_losses

# Logits of (0, ln 3): the second class has three quarters.
PAIR = [0.0, math.log(3)]


def test_the_loss_of_classes_is_the_negative_logarithm_of_the_right_ones_share() -> None:
    logits, targets = torch.tensor([PAIR, PAIR]), torch.tensor([1, 0])
    expected = [math.log(4 / 3), math.log(4)]
    assert sample_losses(logits, targets).tolist() == pytest.approx(expected)
    assert mean_loss(logits, targets).item() == pytest.approx(sum(expected) / 2)
    assert sample_hits(logits, targets).tolist() == [1.0, 0.0]


def test_a_sequence_counts_as_one_sample() -> None:
    logits = torch.tensor([[PAIR, PAIR], [PAIR, PAIR]])
    targets = torch.tensor([[1, 0], [1, 1]])
    right, wrong = math.log(4 / 3), math.log(4)
    assert sample_losses(logits, targets).tolist() == pytest.approx([(right + wrong) / 2, right])
    assert mean_loss(logits, targets).item() == pytest.approx((3 * right + wrong) / 4)
    assert sample_hits(logits, targets).tolist() == [0.5, 1.0]


@pytest.mark.parametrize("shape", [(5, 3), (5, 4, 3)])
def test_the_mean_of_the_samples_is_the_loss_that_is_trained_on(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=generator)
    targets = torch.randint(0, 3, shape[:-1], generator=generator)
    losses = sample_losses(logits, targets)
    assert losses.shape == (5,)
    assert losses.mean().item() == pytest.approx(mean_loss(logits, targets).item(), rel=1e-6)
