import random
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from esper.contracts.errors import ConfigError
from esper.contracts.slot import Placement, SlotKind
from esper.growth.places import Places
from tests.unit.growth.builders import blended, fitting, make_host, make_input, make_model

IMAGES = torch.ones(2, 3, 16, 16)


class Basic(nn.Module):
    """The basic block of a residual net, as everybody writes it."""

    def __init__(self, planes_in: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(planes_in, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample: nn.Module | None = None
        if stride != 1 or planes_in != planes:
            self.downsample = nn.Sequential(
                nn.Conv2d(planes_in, planes, 1, stride, bias=False), nn.BatchNorm2d(planes)
            )

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(Basic(4, 4), Basic(4, 4))
        self.layer2 = nn.Sequential(Basic(4, 8, 2), Basic(8, 8))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.relu(self.bn1(self.conv1(x)))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return self.proj(functional.scaled_dot_product_attention(q, k, v))


class ViTBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(8), Attention()
        self.norm2 = nn.LayerNorm(8)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 8)
        self.lstm = nn.LSTM(8, 8, batch_first=True)
        self.fc = nn.Linear(8, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(self.embedding(tokens))
        return self.fc(hidden[-1])


class DenseNetBlock(nn.ModuleDict):
    """Runs whatever it holds, and hands each all that came before."""

    def __init__(self) -> None:
        super().__init__({"a": nn.Linear(4, 4), "b": nn.Linear(8, 4)})

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.values():
            features.append(layer(torch.cat(features, 1)))
        return features[-1]


class Iterating(nn.Module):
    def __init__(self, style: str) -> None:
        super().__init__()
        self.style = style
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        children = list(self.children())
        if self.style == "all":
            for child in children:
                x = child(x)
            return x
        if self.style == "linear":
            for child in children:
                x = child(x) if isinstance(child, nn.Linear) else x
            return x
        if self.style == "weights":
            return functional.linear(x, children[-1].weight)  # type: ignore[arg-type]
        if self.style == "count":
            return self.first(x) / len(children)
        raise AssertionError(self.style)


class Wrapping(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block, self.head = block, nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Any:
        out = self.block(x)
        return self.head(out[0] if isinstance(out, tuple) else out)


def auto(model: nn.Module, example: Tensor, placement: str = "auto") -> dict[str, Placement]:
    specs = Places(model, example, fitting).auto(placement)
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
        Places(model, IMAGES, fitting).listed(["0"], "parallel")


def test_a_spec_says_what_is_read_and_what_is_given() -> None:
    (spec,) = Places(ResNet(), IMAGES, fitting).listed(["layer2.0"], "parallel")
    assert (spec.kind, spec.in_shape, spec.out_shape) == (
        SlotKind.FEATURE_MAP,
        (4, 8, 8),
        (8, 4, 4),
    )
    (spec,) = Places(ResNet(), IMAGES, fitting).listed(["layer2.0"], "series")
    assert spec.in_shape == spec.out_shape == (8, 4, 4)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("layr1.0", r"no module 'layr1.0' in the host \(near matches: layer1.0"),
        ("zzz", r"no module 'zzz' in the host \(paths: "),
        ("avgpool", "no blueprint fits"),
    ],
)
def test_a_wrong_path_is_named_with_a_hint(path: str, message: str) -> None:
    if path == "avgpool":
        places = Places(ResNet(), IMAGES, lambda *_: ())
    else:
        places = Places(ResNet(), IMAGES, fitting)
    with pytest.raises(ConfigError, match=message):
        places.listed([path], "auto")


def test_a_path_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="names a path twice: conv1, conv1"):
        Places(ResNet(), IMAGES, fitting).listed(["conv1", "conv1"], "auto")


class Odd(nn.Module):
    """Calls its parts in ways that no slot can follow."""

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
    places = Places(Odd(), torch.ones(2, 3, 4), fitting)
    with pytest.raises(ConfigError, match=f"'{path}' cannot hold a slot: {reason}"):
        places.listed([path], "auto")


@pytest.mark.parametrize(
    ("block", "instead"),
    [
        (Iterating("all"), ["block.first", "block.second"]),
        (Iterating("count"), ["block.first"]),
        (Iterating("weights"), ["head"]),
        (DenseNetBlock(), ["block.a", "block.b"]),
    ],
)
def test_a_block_that_would_take_kernels_for_layers_is_refused(
    block: nn.Module, instead: list[str]
) -> None:
    model, x = Wrapping(block), torch.ones(2, 4)
    with pytest.raises(ConfigError, match="'block' cannot hold a slot: its forward iterates"):
        Places(model, x, fitting).listed(["block"], "auto")
    assert list(auto(model, x)) == instead
    assert type(block) in (Iterating, DenseNetBlock)
    assert "esper_kernels" not in dict(model.named_modules())


def test_one_block_that_goes_astray_does_not_hide_the_others() -> None:
    kinds = ("count", "linear", "all")
    model = nn.Sequential(*[Iterating(kind) for kind in kinds], nn.Linear(4, 2))
    assert list(auto(model, torch.ones(2, 4))) == ["0.first", "1", "2.first", "2.second"]


def test_a_block_that_iterates_but_knows_its_layers_can_hold_a_slot() -> None:
    torch.manual_seed(0)
    model, x = Wrapping(Iterating("linear")), torch.randn(2, 4)
    inner = model.block(x)
    host = make_host(model, ["block"], example=x, placement="series")
    kernel = blended(host, "block")
    assert torch.equal(model(x), model.head(inner + kernel(inner)))


def test_a_forward_that_was_set_on_the_module_itself_is_refused() -> None:
    model = Wrapping(nn.Linear(4, 4))
    model.block.forward = lambda x: x * 2.0  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match=r"'block' cannot hold a slot: .*without calling it"):
        Places(model, torch.ones(2, 4), fitting).listed(["block"], "auto")


def test_a_tuple_is_no_output_of_a_slot() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.more = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.more(self.inner(x)), x

    model, x = Wrapping(Pair()), torch.ones(2, 4)
    with pytest.raises(ConfigError, match="its output is not a floating-point tensor"):
        Places(model, x, fitting).listed(["block"], "auto")
    assert list(auto(model, x)) == ["block.inner", "block.more"]


def test_a_model_that_has_grown_already_is_refused() -> None:
    host, x = make_host("mlp"), make_input("mlp")
    blended(host, "block1")
    with pytest.raises(ConfigError, match="holds kernels of an earlier growth"):
        Places(host.model, x, fitting)


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

    Places(model, x, fitting).auto("auto")

    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(model.state_dict()[key], value) for key, value in state.items())
    assert all(not module._forward_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), expected[0])
    assert (random.getstate(), numpy.random.get_state()[1].sum()) == expected[1:]
