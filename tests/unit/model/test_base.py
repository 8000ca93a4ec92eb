"""The fields that every model shares, and which model takes which data."""

import subprocess
import sys

import pytest
import torch

from esper.contracts.data import DataSpec, InputKind
from esper.contracts.errors import ConfigError
from esper.model.base import FITS, HostOptions
from esper.model.cnn import CNN
from esper.model.custom import Custom
from esper.model.mlp import MLP
from esper.model.resnet import ResNet
from esper.model.transformer import Transformer

VECTOR = DataSpec(kind=InputKind.VECTOR, input_shape=(2,), num_classes=3)
IMAGE = DataSpec(kind=InputKind.IMAGE, input_shape=(1, 8, 8), num_classes=10)
TOKENS = DataSpec(kind=InputKind.TOKENS, input_shape=(16,), num_classes=30)
MODELS: dict[str, HostOptions] = {
    "mlp": MLP(),
    "cnn": CNN(),
    "resnet": ResNet(),
    "transformer": Transformer(),
}

LIGHT = """
import sys
import esper.model.mlp, esper.model.cnn, esper.model.resnet
import esper.model.transformer, esper.model.custom
sys.exit("imported torch" if "torch" in sys.modules else 0)
"""


def weights(option: HostOptions, spec: DataSpec, rng_seed: int) -> list[torch.Tensor]:
    torch.manual_seed(rng_seed)
    return list(option.build(spec).state_dict().values())


@pytest.mark.parametrize("spec", [VECTOR, IMAGE, TOKENS], ids=lambda spec: spec.kind)
@pytest.mark.parametrize("name", MODELS)
def test_a_model_builds_for_the_data_it_fits_and_refuses_the_rest(
    name: str, spec: DataSpec
) -> None:
    if name in FITS[spec.kind]:
        MODELS[name].build(spec)
        return
    with pytest.raises(ConfigError) as caught:
        MODELS[name].build(spec)
    assert str(caught.value) == (
        f"model={name} does not take {spec.kind} data "
        f"(models that do: {', '.join(FITS[spec.kind])})"
    )


@pytest.mark.parametrize(
    ("name", "spec"), [("mlp", VECTOR), ("cnn", IMAGE), ("resnet", IMAGE), ("transformer", TOKENS)]
)
def test_the_rng_seed_alone_decides_the_weights(name: str, spec: DataSpec) -> None:
    first, again = weights(MODELS[name], spec, 4), weights(MODELS[name], spec, 4)
    other = weights(MODELS[name], spec, 5)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("option", [MLP, CNN, ResNet, Transformer, Custom])
def test_every_model_has_the_shared_fields(option: type[HostOptions]) -> None:
    assert option().slots == ("auto",)
    assert option(slots=["block1", "block2"], num_seeds=2, placement="series").slots == (
        "block1",
        "block2",
    )
    with pytest.raises(ValueError, match=r"model\.num_seeds must be a whole number >= 1, got 0"):
        option(num_seeds=0)


@pytest.mark.parametrize(
    ("slots", "kept"),
    [("auto", ("auto",)), ("block1", ("block1",)), ([""], ("",)), (("auto",), ("auto",))],
)
def test_slots_are_kept_as_a_tuple(slots: object, kept: tuple[str, ...]) -> None:
    assert HostOptions(slots=slots).slots == kept


@pytest.mark.parametrize(
    ("slots", "text"),
    [
        ("", "must be auto or a list of module paths, got ''"),
        ([], r"must be auto or a list of module paths, got \[\]"),
        (None, "must be auto or a list of module paths, got None"),
        (3, "must be auto or a list of module paths, got 3"),
        ([1], r"must be auto or a list of module paths, got \[1\]"),
        (["a", "a"], r"must name each path once, got \['a', 'a'\]"),
        (["auto", "a"], r"must be auto or paths, not both, got \['auto', 'a'\]"),
    ],
)
def test_slots_that_name_nothing_are_refused(slots: object, text: str) -> None:
    with pytest.raises(ValueError, match=rf"model\.slots {text}"):
        HostOptions(slots=slots)


def test_an_unknown_placement_lists_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="one of auto, series, parallel, got 'beside'"):
        HostOptions(placement="beside")


def test_options_import_no_torch() -> None:
    command = [sys.executable, "-c", LIGHT]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
