"""Hosts of twice the width."""

import pytest
import torch

from esper.contracts.data import DataSpec, InputKind
from esper.model.base import HostOptions
from esper.model.cnn import CNN
from esper.model.mlp import MLP
from esper.model.resnet import ResNet
from esper.model.transformer import Transformer

IMAGE = DataSpec(kind=InputKind.IMAGE, input_shape=(1, 8, 8), num_classes=3)
TEXT = DataSpec(kind=InputKind.TOKENS, input_shape=(6,), num_classes=5)
HOSTS = [CNN(), MLP(hidden=(4, 6), width=8), ResNet(channels=(4, 8)), Transformer(width=8)]


@pytest.mark.parametrize("options", HOSTS, ids=lambda each: type(each).__name__)
def test_every_width_doubles_but_those_of_inputs_and_outputs(options: HostOptions) -> None:
    spec = TEXT if isinstance(options, Transformer) else IMAGE
    fixed = {1, 3, 5, 6, 64}  # sizes of data and kernels
    narrow, wide = (each.build(spec).state_dict() for each in (options, options.wider()))
    assert narrow.keys() == wide.keys()
    grown = 0
    for name, tensor in narrow.items():
        for old, new in zip(tensor.shape, wide[name].shape, strict=True):
            assert new in ((old, 2 * old) if old in fixed else (2 * old,)), name
            grown += new != old
    assert grown > 4


def test_a_width_is_a_factor_of_channels() -> None:
    torch.manual_seed(0)
    one = CNN(hidden=(2, 4), channels=(8, 16), width=3).build(IMAGE)
    torch.manual_seed(0)
    two = CNN(hidden=(6, 12), channels=(24, 48)).build(IMAGE)
    assert all(a.equal(b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    with pytest.raises(ValueError, match=r"model\.width must be a whole number >= 1, got 0"):
        ResNet(width=0)
