import random

import numpy
import pytest
import torch
from torch import Tensor, nn

from esper.contracts.errors import ConfigError
from esper.contracts.slot import Placement, SlotKind
from esper.growth.find_slots import SlotFinder
from tests.unit.growth.builders import blended, fitting, make_host, make_input, make_model
from tests.unit.growth.user_models import (
    Recurrent,
    ResNet,
    ViTBlock,
    Wrapping,
)

IMAGES = torch.ones(2, 3, 16, 16)


def auto(model: nn.Module, example: Tensor, placement: str = "auto") -> dict[str, Placement]:
    specs = SlotFinder(model, example, fitting).auto(placement)
    return {spec.name: spec.placement for spec in specs}


def test_a_residual_net_gets_its_blocks_and_its_stem() -> None:
    assert auto(ResNet(), IMAGES) == {
        "conv1": Placement.PARALLEL,
        "layer1.0": Placement.PARALLEL,
        "layer1.1": Placement.PARALLEL,
        "layer2.0": Placement.PARALLEL,
        "layer2.1": Placement.PARALLEL,
    }


def test_a_plain_sequential_gets_its_layers_but_the_last() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    assert list(auto(model, torch.ones(2, 4))) == ["0", "2"]


def test_units_of_convolution_norm_and_activation_are_blocks() -> None:
    def unit(planes_in: int, planes: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(planes_in, planes, 3, padding=1), nn.BatchNorm2d(planes), nn.ReLU()
        )

    features = nn.Sequential(unit(3, 4), nn.MaxPool2d(2), unit(4, 8), nn.AdaptiveAvgPool2d(1))
    model = nn.Sequential(features, nn.Flatten(), nn.Linear(8, 3))
    assert list(auto(model, IMAGES)) == ["0.0", "0.2"]


def test_a_transformer_block_gets_its_attention_and_its_dense_part() -> None:
    model = nn.Sequential(nn.Linear(6, 8), ViTBlock(), nn.LayerNorm(8), nn.Linear(8, 3))
    assert list(auto(model, torch.ones(2, 5, 6))) == ["0", "1.attn", "1.mlp"]


def test_a_recurrent_net_gets_its_head_when_there_is_nothing_else() -> None:
    assert list(auto(Recurrent(), torch.zeros(2, 6, dtype=torch.int64))) == ["fc"]


def test_what_gives_the_output_serves_only_when_there_is_nothing_else() -> None:
    assert list(auto(nn.Sequential(nn.Linear(4, 3)), torch.ones(2, 4))) == ["0"]


def test_no_possible_slot_is_an_error() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.weight

    with pytest.raises(ConfigError, match=r"no slot can be placed in Constant with .*=auto"):
        auto(Constant(), torch.ones(2, 4))


def test_parallel_wants_a_blueprint_for_the_change_of_shape_and_series_does_not() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.Flatten(), nn.Linear(36, 2))
    assert auto(model, IMAGES) == {"0": Placement.SERIES}
    with pytest.raises(
        ConfigError, match=r"no blueprint fits a feature_map block \(2, 3, 16, 16\)"
    ):
        SlotFinder(model, IMAGES, fitting).listed(["0"], "parallel")


def test_a_spec_says_what_is_read_and_what_is_given() -> None:
    (spec,) = SlotFinder(ResNet(), IMAGES, fitting).listed(["layer2.0"], "parallel")
    assert (spec.kind, spec.in_shape, spec.out_shape) == (
        SlotKind.FEATURE_MAP,
        (4, 8, 8),
        (8, 4, 4),
    )
    (spec,) = SlotFinder(ResNet(), IMAGES, fitting).listed(["layer2.0"], "series")
    assert spec.in_shape == spec.out_shape == (8, 4, 4)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("layr1.0", r"no module 'layr1.0' in the host \(near matches: layer1.0"),
        ("nope", r"^slots \(model.slots\): no module 'nope' in the host \(paths: conv1, bn1, "),
        ("avgpool", "no blueprint fits"),
    ],
)
def test_a_wrong_path_is_named_with_a_hint(path: str, message: str) -> None:
    if path == "avgpool":
        places = SlotFinder(ResNet(), IMAGES, lambda *_: ())
    else:
        places = SlotFinder(ResNet(), IMAGES, fitting)
    with pytest.raises(ConfigError, match=message):
        places.listed([path], "auto")


def test_a_path_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="names a path twice: conv1, conv1"):
        SlotFinder(ResNet(), IMAGES, fitting).listed(["conv1", "conv1"], "auto")


class Odd(nn.Module):
    """Calls its parts in ways that no slot supports."""

    def __init__(self) -> None:
        super().__init__()
        self.unused, self.twice, self.flat = nn.Linear(4, 4), nn.Identity(), nn.Flatten(0)
        self.pair, self.head = nn.LSTM(4, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.flat(self.twice(x[:, 0]))
        return self.head(self.pair(self.twice(x))[0])


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("unused", "it is not called in forward"),
        ("twice", "it is called with tensors of different shapes"),
        ("pair", "its output is not a floating-point tensor"),
        ("flat", r"its output has 1 dimensions \(allowed: 2, 3, 4\)"),
    ],
)
def test_a_module_that_cannot_hold_a_slot_says_why(path: str, reason: str) -> None:
    places = SlotFinder(Odd(), torch.ones(2, 3, 4), fitting)
    with pytest.raises(ConfigError, match=f"'{path}' cannot hold a slot: {reason}"):
        places.listed([path], "auto")


def test_a_tuple_is_no_output_of_a_slot() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.more = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.more(self.inner(x)), x

    model, x = Wrapping(Pair()), torch.ones(2, 4)
    with pytest.raises(ConfigError, match="its output is not a floating-point tensor"):
        SlotFinder(model, x, fitting).listed(["block"], "auto")
    assert list(auto(model, x)) == ["block.inner", "block.more"]


def test_a_model_that_has_grown_already_is_refused() -> None:
    host, x = make_host("mlp"), make_input("mlp")
    blended(host, "block1")
    with pytest.raises(ConfigError, match="holds kernels of an earlier growth"):
        SlotFinder(host.model, x, fitting)


def test_looking_for_places_leaves_no_trace() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = make_model("batch_norm")

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x + torch.randn_like(x) + random.random() + numpy.random.rand())

    model, x = Noisy().train(), make_input("batch_norm")
    model.inner.get_submodule("stage1.block1.norm1").eval()
    modes = [module.training for module in model.modules()]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    expected = (torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1].sum())

    SlotFinder(model, x, fitting).auto("auto")

    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(model.state_dict()[key], value) for key, value in state.items())
    assert all(not module._forward_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), expected[0])
    assert (random.getstate(), numpy.random.get_state()[1].sum()) == expected[1:]
