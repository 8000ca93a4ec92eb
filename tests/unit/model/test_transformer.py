"""The token host: a prediction for each position, from the positions before it."""

import pytest
import torch

from esper.contracts.data import DataSpec, InputKind
from esper.model.transformer import Transformer

TEXT = DataSpec(kind=InputKind.TOKENS, input_shape=(16,), num_classes=30)


def test_logits_are_per_position() -> None:
    host = Transformer(layers=2).build(TEXT)
    assert host(torch.randint(30, (3, 16))).shape == (3, 16, 30)
    assert host(torch.randint(30, (3, 9))).shape == (3, 9, 30)


def test_a_position_sees_itself_and_what_came_before_only() -> None:
    torch.manual_seed(0)
    host = Transformer(layers=2).build(TEXT).eval()
    before = torch.randint(29, (1, 16))
    after = before.clone()
    after[0, 7] += 1
    moved = (host(before) - host(after)).abs().amax(dim=(0, 2)) > 1e-6
    assert moved.tolist() == [False] * 7 + [True] * 9


def test_positions_tell_like_tokens_apart() -> None:
    torch.manual_seed(0)
    logits = Transformer().build(TEXT)(torch.zeros(1, 16, dtype=torch.int64))
    assert not torch.allclose(logits[0, 3], logits[0, 4])


def test_blocks_hold_an_mlp_and_an_attention_that_keep_the_shape() -> None:
    host = Transformer(width=8, heads=2, mlp_ratio=0.5).build(TEXT)
    x = torch.randn(2, 16, 8)
    for part in ("mlp", "attention"):
        assert host.get_submodule(f"block1.{part}")(x).shape == x.shape
    assert host.get_parameter("block1.mlp.expand.weight").shape == (4, 8)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"layers": 0}, r"model\.layers must be a whole number >= 1, got 0"),
        ({"width": 30}, r"model\.width must be divisible by model\.heads=4, got 30"),
        ({"mlp_ratio": 0.0}, r"model\.mlp_ratio must give at least one unit .* got 0\.0"),
        ({"mlp_ratio": float("nan")}, r"model\.mlp_ratio must .* got nan"),
    ],
)
def test_a_value_out_of_range_is_refused(options: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Transformer(**options)  # type: ignore[arg-type]
