"""CIFAR-10 through the command line: a limited run, and refusals of files, options and the hub."""

import os
from pathlib import Path

import pytest

from tests.integration.harness import Done, esper, esper_forked
from tests.parquet_images import WHY_NOT, write_images

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

VARIABLE = "ESPER_TEST_CIFAR10"
REAL = os.environ.get(VARIABLE, "")
QUICK = ["train", "logger=none", "epochs=2", "policy=never", "data=cifar10"]
TIGHT = """
from torch import nn


def build(spec):
    convolution = nn.Conv2d(3, 8, 5)
    return nn.Sequential(convolution, nn.GELU(), nn.Flatten(), nn.Linear(8, spec.num_classes))
"""

REFUSALS = {
    "no such path": ("data.path=nowhere", "data.path 'nowhere': no such file or folder"),
    "no parquet": ("data.path=.", "data.path '.': no train*.parquet in this folder"),
    "no file of parquet": (
        "data.path=tight.py",
        "data.path 'tight.py': cannot be read as Parquet (",
    ),
    "few samples": (
        "data.path=../images data.max_samples=20",
        "data.max_samples=20 and data.val_fraction=0.2: the 2 samples of class 0 do not reach both",
    ),
    "too few samples": ("data.max_samples=3", "data.max_samples must be null or >= 20, got 3"),
    "large images": ("data.image_size=64", "data.image_size must be null or in [1, 32], got 64"),
    "small images": (
        "data.path=../images data.image_size=4 model=custom model.factory=tight:build",
        "the model (Sequential) does not take a batch of shape (4, 3, 4, 4)",
    ),
    "share of a test": (
        "data.test_fraction=0.1",
        "data.test_fraction; did you mean data.val_fraction? (keys of data=cifar10: ",
    ),
    "model": (
        "data.path=../images model=transformer",
        "model=transformer does not take image data (models that do: cnn, resnet, mlp, custom)",
    ),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    folder: Path = tmp_path_factory.mktemp("refused")
    write_images(folder / "images")
    for name in REFUSALS:
        (folder / name).mkdir()
        (folder / name / "tight.py").write_text(TIGHT)
    commands = {name: [*QUICK, *words.split()] for name, (words, _) in REFUSALS.items()}
    return esper_forked(folder, commands)


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_one_line(refused: dict[str, Done], name: str) -> None:
    line = refused[name].refusal
    assert REFUSALS[name][1] in line
    assert len(line) < 300


def test_without_a_path_and_without_the_hub_a_line_asks_for_a_path(tmp_path: Path) -> None:
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    line = esper(tmp_path, QUICK, env=offline).refusal
    assert line.startswith("data=cifar10: uoft-cs/cifar10 cannot be loaded from the Hugging Face")
    assert "Couldn't reach 'uoft-cs/cifar10' on the Hub" in line
    assert line.endswith("a folder of Parquet files can be given as data.path")


def test_the_files_stay_as_they_are_and_no_copy_is_kept(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "images")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    home = tmp_path / "home"
    env = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    done = esper(tmp_path / "work", [*QUICK, f"data.path={folder}"], env=env)
    assert done.run.summary["status"] == "finished"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not list(home.rglob("*.arrow"))
    assert not list(home.rglob("*huggingface*"))


@pytest.mark.skipif(not REAL, reason=f"{VARIABLE} names no folder of CIFAR-10's Parquet files")
def test_a_small_network_learns_what_photographs_show(tmp_path: Path) -> None:
    limits = ["data.max_samples=3000", "data.image_size=8", "epochs=6"]
    wide = ["model.hidden=[16,32]", "model.channels=[16,32]"]
    summary = esper(tmp_path, [*QUICK, f"data.path={REAL}", *limits, *wide]).run.summary
    # Guessing gives 10 %; a standard error of the test is 0.5 points.
    assert summary["test_accuracy"] > 0.3
    assert abs(summary["test_accuracy"] - summary["best_val_accuracy"]) < 0.06
