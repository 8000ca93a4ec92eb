"""Tasks and sizes of hosts."""

from pathlib import Path

import pytest

from esper.model.cnn import CNN
from esper.model.mlp import MLP
from esper.model.resnet import ResNet
from esper.model.transformer import Transformer
from esper.policy.never import Never
from experiments.tasks import SIZES, WITHOUT_FILES, Place, sized, task_names


def test_a_size_multiplies_the_hidden_widths_alone() -> None:
    assert sized(CNN(), 0.5) == CNN(hidden=(1, 2))
    assert sized(CNN(), 8.0) == CNN(hidden=(16, 32))
    assert sized(MLP(hidden=(3, 1)), 0.5) == MLP(hidden=(2, 1))
    assert sized(Transformer(), 4.0) == Transformer(mlp_ratio=4.0)
    with pytest.raises(TypeError, match="ResNet has no hidden widths"):
        sized(ResNet(), 2.0)


def test_the_host_is_one_of_the_sizes() -> None:
    for task in WITHOUT_FILES:
        model = Place(task).config(0).model
        assert sized(model, 1.0) == model
    assert 1.0 in SIZES


def test_a_place_sets_budget_and_partition(capsys: pytest.CaptureFixture[str]) -> None:
    config = Place("digits", 7, split_seed=3).config(5, policy=Never())
    assert (config.epochs, config.rng_seed, config.data.split_seed) == (7, 5, 3)
    assert config.policy == Never()
    with pytest.raises(ValueError, match=r"no task 'cifar10' .*allowed: digits, text, spirals"):
        Place("cifar10").config(0)
    images = Place("cifar10", cifar=Path("folder")).config(0).data
    assert (images.path, images.max_samples, images.image_size) == ("folder", 5000, 8)
    assert task_names(None) == ("digits", "text", "spirals")
    assert "cifar10 is skipped" in capsys.readouterr().out
    assert task_names(Path("x"))[-1] == "cifar10"
    assert capsys.readouterr().out == ""
