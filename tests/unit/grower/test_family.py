"""The task family of example inputs."""

import torch

from esper.grower.family import family_of


def test_the_family_is_the_kind_of_a_sample() -> None:
    assert family_of(torch.zeros(4, 8)) == "vector"
    assert family_of(torch.zeros(4, 3, 8, 8)) == "image"
    assert family_of(torch.zeros(4, 16, dtype=torch.int64)) == "tokens"
    assert family_of(torch.zeros(4, 16, 8)) == "3d"
    assert family_of(torch.zeros(4, 3, 8, 8, dtype=torch.uint8)) == "image"
