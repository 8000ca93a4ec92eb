"""The residual host: strides, shortcuts and norms."""

import pytest
import torch

from esper.contracts.data import DataSpec, InputKind
from esper.model.resnet import ResNet

DIGITS = DataSpec(kind=InputKind.IMAGE, input_shape=(1, 8, 8), num_classes=10)
COLOUR = DataSpec(kind=InputKind.IMAGE, input_shape=(3, 32, 32), num_classes=10)


@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize("spec", [DIGITS, COLOUR], ids=["digits", "colour"])
def test_logits_come_out_for_small_and_large_images(spec: DataSpec, norm: str) -> None:
    host = ResNet(norm=norm).build(spec)
    assert host(torch.randn(4, *spec.input_shape)).shape == (4, 10)


def test_every_stage_but_the_first_halves_the_image() -> None:
    host = ResNet(channels=(4, 8), blocks=2).build(DIGITS)
    x = torch.randn(2, 4, 8, 8)
    assert host.get_submodule("stage1.block1")(x).shape == (2, 4, 8, 8)
    assert host.get_submodule("stage2.block1")(x).shape == (2, 8, 4, 4)
    assert host.get_submodule("stage2.block2")(torch.randn(2, 8, 4, 4)).shape == (2, 8, 4, 4)


def test_a_block_adds_its_input() -> None:
    block = ResNet(channels=(4,)).build(DIGITS).get_submodule("stage1.block1")
    torch.nn.init.zeros_(block.get_parameter("norm2.weight"))
    x = torch.randn(2, 4, 8, 8)
    assert torch.allclose(block(x), torch.nn.functional.silu(x))


def test_group_norm_sees_each_sample_alone() -> None:
    torch.manual_seed(0)
    host = ResNet(channels=(8,)).build(DIGITS).train()
    x = torch.randn(3, 1, 8, 8)
    assert torch.allclose(host(x)[:1], host(x[:1]), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"blocks": 0}, r"model\.blocks must be a whole number >= 1, got 0"),
        ({"norm": "layer"}, r"model\.norm must be one of group, batch, got 'layer'"),
        ({"channels": ()}, r"model\.channels must be a list"),
    ],
)
def test_a_value_out_of_range_is_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ResNet(**options)  # type: ignore[arg-type]
