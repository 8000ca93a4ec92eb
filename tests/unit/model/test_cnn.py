"""The default host: small, with blocks that map feature maps to feature maps."""

import pytest
import torch

from esper.contracts.data import DataSpec, InputKind
from esper.model.cnn import CNN

DIGITS = DataSpec(kind=InputKind.IMAGE, input_shape=(1, 8, 8), num_classes=10)
COLOUR = DataSpec(kind=InputKind.IMAGE, input_shape=(3, 32, 32), num_classes=100)


def test_the_default_on_digits_is_as_small_as_intended() -> None:
    host = CNN().build(DIGITS)
    assert host(torch.randn(5, 1, 8, 8)).shape == (5, 10)
    # 3x3 convolutions 1-2-8 and 8-4-16 with biases, and a head of 16 to 10.
    by_hand = (9 * 2 + 2) + (18 * 8 + 8) + (72 * 4 + 4) + (36 * 16 + 16) + (16 * 10 + 10)
    assert sum(parameter.numel() for parameter in host.parameters()) == by_hand == 1226


def test_blocks_keep_height_and_width_and_halve_between() -> None:
    host = CNN().build(DIGITS)
    block1, block2 = host.get_submodule("block1"), host.get_submodule("block2")
    maps = block1(torch.randn(5, 1, 8, 8))
    assert maps.shape == (5, 8, 8, 8)
    assert block2(host.get_submodule("halve1")(maps)).shape == (5, 16, 4, 4)


def test_other_images_and_depths_fit() -> None:
    assert CNN(hidden=(3,), channels=(6,)).build(COLOUR)(torch.randn(2, 3, 32, 32)).shape == (
        2,
        100,
    )
    deep = CNN(hidden=(2,) * 6, channels=(4,) * 6).build(DIGITS)
    assert deep(torch.randn(2, 1, 8, 8)).shape == (2, 10)


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    host = CNN().build(DIGITS)
    host(torch.randn(8, 1, 8, 8)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in host.parameters())


def test_a_length_for_each_block_is_needed() -> None:
    with pytest.raises(ValueError, match=r"of one length .* got \[2\] and \[8, 16\]"):
        CNN(hidden=(2,))
    with pytest.raises(ValueError, match=r"model\.channels must be .* got \[8, -1\]"):
        CNN(channels=(8, -1))
