"""The MLP host: named blocks, each from features to features."""

import pytest
import torch

from esper.contracts.data import DataSpec, InputKind
from esper.model.mlp import MLP

IMAGE = DataSpec(kind=InputKind.IMAGE, input_shape=(1, 8, 8), num_classes=10)
VECTOR = DataSpec(kind=InputKind.VECTOR, input_shape=(2,), num_classes=3)


def test_the_default_on_digits_is_64_12_10() -> None:
    host = MLP().build(IMAGE)
    assert host(torch.randn(5, 1, 8, 8)).shape == (5, 10)
    # (64 + 1) * 12 + (12 + 1) * 10
    assert sum(parameter.numel() for parameter in host.parameters()) == 910
    assert host.get_submodule("block1")(torch.randn(5, 64)).shape == (5, 10)


def test_blocks_pass_on_features_of_one_width() -> None:
    host = MLP(hidden=(4, 6, 8), width=5).build(VECTOR)
    block1, block2, block3 = (host.get_submodule(f"block{i}") for i in (1, 2, 3))
    assert block3(block2(block1(torch.randn(7, 2)))).shape == (7, 3)
    assert block1(torch.randn(7, 2)).shape == block2(torch.randn(7, 5)).shape == (7, 5)
    assert host(torch.randn(7, 2)).shape == (7, 3)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"hidden": []},
            r"model\.hidden must be a list of whole numbers >= 1, not empty, got \[\]",
        ),
        ({"hidden": [3, 0]}, r"model\.hidden must be .* got \[3, 0\]"),
        ({"hidden": [1.5]}, r"model\.hidden must be .* got \[1\.5\]"),
        ({"width": 0}, r"model\.width must be a whole number >= 1, got 0"),
    ],
)
def test_sizes_out_of_range_are_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        MLP(**options)  # type: ignore[arg-type]
