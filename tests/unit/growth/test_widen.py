"""Tensors of a narrower network in a wider one."""

import pytest
import torch
from torch import nn

from esper.contracts.errors import ConfigError
from esper.growth.widen import embedded, fused_parts, widened
from esper.model.networks.convolution import cnn
from esper.model.networks.decoder import CausalAttention
from esper.model.networks.dense import mlp
from esper.probe.tensors import put_tensors, tensors_of


def test_an_old_tensor_stands_at_the_first_positions_and_reads_no_new_input() -> None:
    new = embedded("w", torch.ones(2, 2), torch.full((3, 4), 7.0))
    assert new.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [7, 7, 7, 7]]
    assert embedded("b", torch.ones(2), torch.full((3,), 7.0)).tolist() == [1, 1, 7]
    kernel = embedded("c", torch.ones(1, 1, 2, 2), torch.full((2, 2, 2, 2), 7.0))
    assert kernel[0, 0].tolist() == [[1, 1], [1, 1]]
    assert kernel[0, 1].tolist() == [[0, 0], [0, 0]]
    assert torch.all(kernel[1] == 7)


def test_the_parts_of_a_fused_weight_are_embedded_each() -> None:
    new = embedded("qkv", torch.tensor([1.0, 2.0, 3.0]), torch.zeros(6), parts=3)
    assert new.tolist() == [1, 0, 2, 0, 3, 0]
    assert fused_parts(nn.Sequential(nn.MultiheadAttention(4, 2), CausalAttention(4, 2))) == {
        "0.in_proj_weight": 3,
        "0.in_proj_bias": 3,
        "1.queries_keys_values.weight": 3,
        "1.queries_keys_values.bias": 3,
    }


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_without_shrinking_the_function_is_preserved(kind: str) -> None:
    def make(factor: int) -> nn.Module:
        if kind == "mlp":
            return mlp(4, (5 * factor, 6 * factor), 8 * factor, 3)
        return cnn(1, (3 * factor, 4 * factor), (4 * factor, 5 * factor), 3)

    torch.manual_seed(0)
    old, fresh, noise = make(1), make(2), make(2)
    x = torch.randn(6, 4) if kind == "mlp" else torch.randn(6, 1, 8, 8)
    before = old(x)
    put_tensors(fresh, widened(tensors_of(old), fresh, noise, 1.0))
    assert torch.allclose(fresh(x), before, atol=1e-6)
    assert sum(p.numel() for p in fresh.parameters()) > 2 * sum(p.numel() for p in old.parameters())


def test_what_was_learned_is_shrunk_and_perturbed_and_statistics_are_not() -> None:
    old, fresh, noise = (nn.Sequential(nn.Linear(n, n), nn.BatchNorm1d(n)) for n in (2, 3, 3))
    with torch.no_grad():
        for tensor, value in ((old, 1.0), (fresh, 5.0), (noise, 3.0)):
            tensor[0].weight.fill_(value)
            tensor[1].running_mean.fill_(value)
    new = widened(tensors_of(old), fresh, noise, 0.25)
    weight, mean = new["0.weight"], new["1.running_mean"]
    assert weight is not None
    assert mean is not None
    # 0.25 of old 1, 0 and fresh 5, and 0.75 of 3.
    assert weight.tolist() == [[2.5, 2.5, 2.25], [2.5, 2.5, 2.25], [3.5, 3.5, 3.5]]
    assert mean.tolist() == [1.0, 1.0, 5.0]


def test_a_network_that_is_not_wider_is_refused_by_the_name_of_a_tensor() -> None:
    for other, problem in {
        nn.Sequential(nn.Linear(1, 2)): "'0.weight' is of shape (2, 2), which the wider model's (2",
        nn.Sequential(nn.Linear(2, 2, bias=False)): "'0.bias' is in only one of them",
        nn.Sequential(nn.Conv2d(2, 2, 1)): "'0.weight' is of shape (2, 2), which the wider",
    }.items():
        old = tensors_of(nn.Sequential(nn.Linear(2, 2)))
        with pytest.raises(ConfigError, match=r"^growth\.widen: ") as caught:
            widened(old, other, other, 0.5)
        assert problem in str(caught.value)
