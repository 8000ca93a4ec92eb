"""Signals of the units of a layer, by numbers that can be checked by hand."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from esper.probe import units

VARIED = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
"""Two units that vary alike and by themselves."""
FUNCTIONS = (units.dead_units, units.effective_rank, units.correlation)


def random(*shape: int, rng_seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(rng_seed))


def test_units_that_hardly_change_are_dead() -> None:
    dead = torch.full((4, 2), 3.0)
    assert units.dead_units(torch.cat([VARIED, dead], dim=1)).item() == 0.5
    assert units.dead_units(dead).item() == 1.0
    # Two values at +-s have the standard deviation s.
    assert units.dead_units(VARIED * torch.tensor([0.019, 0.021])).item() == 0.5


def test_the_effective_rank_of_units_that_vary_together_is_one_over_their_number() -> None:
    together = VARIED[:, :1] * torch.tensor([[1.0, -2.0, 0.5, 3.0]]) + 7.0
    assert units.effective_rank(together).item() == pytest.approx(1 / 4)
    assert units.effective_rank(VARIED).item() == pytest.approx(1.0)
    # Variances 9 and 1: 10^2 / (81 + 1) / 2.
    assert units.effective_rank(VARIED * torch.tensor([3.0, 1.0])).item() == pytest.approx(50 / 82)
    assert units.effective_rank(torch.full((4, 3), 0.3)).item() == 0.0


@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_the_scale_of_the_values_does_not_change_rank_and_share(scale: float) -> None:
    values = random(2, 32, 3)
    assert units.effective_rank(values[0] * scale).item() == pytest.approx(
        units.effective_rank(values[0]).item(), rel=1e-4
    )
    targets = values @ random(3, 2, rng_seed=1)
    assert units.linear_share(values, targets * scale).item() == pytest.approx(
        units.linear_share(values, targets).item(), rel=1e-4
    )


def test_the_correlation_is_that_of_live_units_and_has_no_sign() -> None:
    opposed = torch.cat([VARIED[:, :1], -2 * VARIED[:, :1], torch.ones(4, 1)], dim=1)
    assert units.correlation(opposed).item() == pytest.approx(1.0)
    assert units.correlation(VARIED).item() == pytest.approx(0.0)
    # One pair of three is correlated.
    three = torch.cat([VARIED, VARIED[:, :1]], dim=1)
    assert units.correlation(three).item() == pytest.approx(1 / 3)
    assert math.isnan(units.correlation(opposed[:, 1:]).item()), "one unit is live"


def test_a_linear_map_predicts_what_is_linear_and_not_what_is_random() -> None:
    inputs = random(2, 48, 4)
    linear = inputs @ random(4, 3, rng_seed=1)
    assert units.linear_share(inputs, linear).item() > 0.95
    assert units.linear_share(inputs, random(2, 48, 3, rng_seed=2)).item() <= 0.2
    # An even function of the input: the best line is flat.
    assert units.linear_share(inputs, inputs.square() - 1).item() <= 0.2
    assert math.isnan(units.linear_share(inputs, torch.zeros(2, 48, 3)).item())


def test_a_share_by_hand() -> None:
    # Without inputs there is the column of ones alone: X^T X = diag(0, 4), p = 0.1 * 2, and the
    # mean 1 of the first half becomes 4 / 4.2.  The second half, 2, becomes 8 / 4.2.
    inputs = torch.zeros(2, 4, 1)
    targets = torch.tensor([1.0, 2.0])[:, None, None].expand(2, 4, 1)
    of_second, of_first = (2 - 4 / 4.2) ** 2 / 4, (1 - 8 / 4.2) ** 2
    expected = 1 - (of_second + of_first) / 2
    assert units.linear_share(inputs, targets).item() == pytest.approx(expected)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_several_layers_are_measured_at_once_as_alone(function: Callable[[Tensor], Tensor]) -> None:
    values = random(3, 16, 5)
    alone = torch.stack([function(each) for each in values])
    assert torch.allclose(function(values), alone)


@pytest.mark.parametrize("function", [units.effective_rank, units.correlation])
def test_values_that_are_not_finite_give_no_number(function: Callable[[Tensor], Tensor]) -> None:
    values = random(8, 3)
    values[2, 1] = math.inf
    assert math.isnan(function(values).item())


def test_a_share_of_what_is_not_finite_is_no_number() -> None:
    inputs = random(2, 8, 3)
    inputs[0, 0, 0] = math.nan
    assert math.isnan(units.linear_share(inputs, random(2, 8, 2)).item())
