"""All tensors of a network are restored: tied, replaced and unset buffers too."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from esper.contracts.errors import CheckpointError
from esper.probe.tensors import check_names, put_tensors, tensors_of, weights_norm


def test_weights_that_do_not_fit_are_refused_by_name() -> None:
    model = torch.nn.Linear(2, 3)
    tensors = tensors_of(model)
    with pytest.raises(CheckpointError, match="'bias' is in only one of them"):
        check_names(model, {"weight": tensors["weight"]})
    wider = {**tensors, "weight": torch.zeros(3, 4)}
    there_and_here = r"'weight' is torch.float32 \(3, 4\) there, torch.float32 \(3, 2\) here"
    with pytest.raises(CheckpointError, match=there_and_here):
        put_tensors(model, wider)
    with pytest.raises(CheckpointError, match=r"torch\.float64"):
        put_tensors(model, {**tensors, "bias": torch.zeros(3, dtype=torch.float64)})


def test_buffers_that_come_and_grow_with_the_input_are_taken_over() -> None:
    def cached(**buffers: torch.Tensor | None) -> torch.nn.Module:
        model = torch.nn.Sequential(torch.nn.Linear(2, 3))
        for name, buffer in buffers.items():
            model[0].register_buffer(name, buffer, persistent=False)
        return model

    fresh = cached(mask=None, positions=torch.arange(4))
    used = cached(mask=torch.ones(2, 2, dtype=torch.bool), positions=torch.arange(9))
    put_tensors(fresh, tensors_of(used))
    mask, positions = fresh.get_buffer("0.mask"), fresh.get_buffer("0.positions")
    assert torch.equal(mask, torch.ones(2, 2, dtype=torch.bool))
    assert positions.tolist() == list(range(9))
    positions.zero_()
    assert used.get_buffer("0.positions").tolist() == list(range(9)), "it is a copy"


def shared(first: Tensor | None, second: Tensor | None) -> nn.Module:
    """Return two layers, each with a buffer."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    for layer, buffer in zip(model, (first, second), strict=True):
        layer.register_buffer("cache", buffer, persistent=False)
    return model


def test_a_buffer_that_was_not_filled_is_not_filled_again() -> None:
    model = shared(None, torch.ones(2))
    before = copy.deepcopy(tensors_of(model))
    model[0].cache, model[1].cache = torch.full((2,), torch.nan), None
    put_tensors(model, before)
    assert model[0].cache is None
    assert model[1].cache.tolist() == [1, 1]


@pytest.mark.parametrize("length", [2, 5])
def test_tied_buffers_are_tied_afterwards_whatever_became_of_their_shape(length: int) -> None:
    tied = torch.full((length,), 7.0)
    before = copy.deepcopy(tensors_of(shared(tied, tied)))
    ones = torch.ones(2)
    model = shared(ones, ones)
    put_tensors(model, before)
    assert model[0].cache is model[1].cache
    assert model[0].cache.tolist() == [7] * length
    model[0].cache.zero_()
    put_tensors(model, before)
    assert model[1].cache.tolist() == [7] * length, "what was kept is a copy"


def test_buffers_that_were_not_tied_are_not_afterwards() -> None:
    before = copy.deepcopy(tensors_of(shared(torch.zeros(2), torch.ones(2))))
    tied = torch.full((2,), 7.0)
    model = shared(tied, tied)
    put_tensors(model, before)
    assert [layer.cache.tolist() for layer in model] == [[0, 0], [1, 1]]


def test_a_buffer_that_is_a_view_of_one_value_is_put_back() -> None:
    model = shared(torch.zeros(1).expand(3), None)
    before = copy.deepcopy(tensors_of(model))
    model[0].cache = torch.ones(1).expand(3)
    put_tensors(model, before)
    assert model[0].cache.tolist() == [0, 0, 0]


def test_the_norm_of_the_weights_counts_each_of_them_and_is_infinite_if_one_is_broken() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 1))
    for weight, value in zip(model.parameters(), (2.0, 0.0, -1.0, 4.0), strict=True):
        nn.init.constant_(weight, value)
    # 2 * 2^2 + 2 * 1^2 + 4^2
    assert weights_norm(model) == pytest.approx(math.sqrt(26), rel=1e-12)
    assert weights_norm(nn.ReLU()) == 0.0
    nn.init.constant_(model[1].bias, math.nan)
    assert weights_norm(model) == math.inf
