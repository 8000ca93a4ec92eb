"""Where a module's features are: (positions, features), or channels first as in convolutions."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from esper.contracts.errors import ConfigError
from esper.growth.find_slots import SlotFinder
from tests.unit.growth.builders import fitting
from tests.unit.growth.user_models import ViTBlock

SOUND = torch.randn(2, 1, 24)
WORDS = torch.randn(2, 9, 8)
REFUSED = r"'block' cannot hold a slot: its output .* has channels before positions"


class Through(nn.Module):
    """Applies a function that is no module after its layers."""

    def __init__(self, *layers: nn.Module, then: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layers, self.then = nn.Sequential(*layers), then

    def forward(self, x: Tensor) -> Tensor:
        return self.then(self.layers(x))


class Turned(nn.Module):
    """Applies layers to (channels, positions), and gives (positions, features) again."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        turned: Tensor = self.layers(x.transpose(1, 2)).transpose(1, 2)
        return turned


class NormedOverChannels(nn.Module):
    """A convolution with a norm over its channels, as in speech models: turned and turned back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(1, channels, 3, padding=1), nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.gelu(self.norm(self.conv(x).transpose(1, 2)).transpose(1, 2))


class Host(nn.Module):
    """A block, and a head that takes whatever the block gives."""

    def __init__(self, block: nn.Module, example: Tensor) -> None:
        super().__init__()
        self.block = block
        self.head = nn.Linear(block(example).flatten(1).shape[1], 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.block(x).flatten(1))
        return logits


CONVOLUTIONS = {
    "activation at the end": nn.Sequential(nn.Conv1d(1, 4, 3), nn.ReLU()),
    "group norm and activation": nn.Sequential(nn.Conv1d(1, 4, 3), nn.GroupNorm(2, 4), nn.GELU()),
    "batch norm": nn.Sequential(nn.Conv1d(1, 4, 3), nn.BatchNorm1d(4)),
    "pooling": nn.Sequential(nn.Conv1d(1, 4, 3), nn.ReLU(), nn.MaxPool1d(2)),
    "up again": nn.Sequential(nn.Conv1d(1, 4, 3, 2), nn.ConvTranspose1d(4, 2, 3), nn.Tanh()),
    "a function at the end": Through(nn.Conv1d(1, 4, 3), then=lambda y: functional.glu(y, dim=1)),
    "as many positions as channels": nn.Sequential(nn.Conv1d(1, 22, 3), nn.ReLU()),
    "norm over channels": NormedOverChannels(4),
    "norm over as many channels": NormedOverChannels(24),
    "a layer alone": nn.Conv1d(1, 4, 3),
}


@pytest.mark.parametrize("block", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_a_block_of_convolutions_is_no_slot(block: nn.Module) -> None:
    host = Host(block, SOUND)
    finder = SlotFinder(host, SOUND, fitting)
    assert [spec.name for spec in finder.auto("auto")] == ["head"]
    with pytest.raises(ConfigError, match=REFUSED):
        finder.listed(["block"], "auto")


def test_a_stack_of_convolutions_has_no_slot_inside() -> None:
    layers = [NormedOverChannels(1) for _ in range(3)]
    stack = nn.Sequential(*layers, nn.Sequential(nn.Conv1d(1, 5, 3), nn.GELU()))
    host = Host(stack, SOUND)
    assert [spec.name for spec in SlotFinder(host, SOUND, fitting).auto("auto")] == ["head"]


def test_an_activation_after_a_convolution_is_no_slot_either() -> None:
    host = Host(nn.Sequential(nn.Conv1d(1, 4, 3), nn.ReLU()), SOUND)
    with pytest.raises(ConfigError, match=r"'block\.1' cannot hold a slot: .* channels before"):
        SlotFinder(host, SOUND, fitting).listed(["block.1"], "auto")


FEATURES_LAST = {
    "a transformer block": ViTBlock(),
    "a convolution that is turned back": Turned(nn.Conv1d(8, 6, 3, padding=1)),
    "with an activation": Turned(nn.Conv1d(8, 6, 3, padding=1), nn.ReLU()),
    "as many positions as channels": Turned(nn.Conv1d(8, 9, 3, padding=1), nn.ReLU()),
    "a convolution between dense layers": nn.Sequential(
        nn.Linear(8, 6), Turned(nn.Conv1d(6, 6, 3, padding=1)), nn.Linear(6, 9)
    ),
    "dense over positions": Turned(nn.Linear(9, 9), nn.GELU()),
}


@pytest.mark.parametrize("block", FEATURES_LAST.values(), ids=FEATURES_LAST)
def test_features_at_the_end_are_a_slot(block: nn.Module) -> None:
    (spec,) = SlotFinder(Host(block, WORDS), WORDS, fitting).listed(["block"], "series")
    assert spec.kind == "sequence"
    assert spec.out_shape == tuple(block(WORDS).shape[1:])


def test_an_input_with_channels_first_is_not_read_by_a_parallel_kernel() -> None:
    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(6, 5, 3, 4)

        def forward(self, x: Tensor) -> Tensor:
            patches: Tensor = self.conv(x).transpose(1, 2)
            return patches

    # 6 channels and 6 patches: the shapes alone would allow it.
    example = torch.randn(2, 6, 24)
    host = Host(Patches(), example)
    assert host.block(example).shape == (2, 6, 5)
    finder = SlotFinder(host, example, fitting)
    assert finder.listed(["block"], "series")[0].out_shape == (6, 5)
    with pytest.raises(ConfigError, match="no blueprint fits a sequence block"):
        finder.listed(["block"], "parallel")
