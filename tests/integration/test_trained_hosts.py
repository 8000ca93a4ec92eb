"""Runs that start from a trained network, through the command line."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

import esper
from tests.integration.in_process import code_of, summary_of

BASE = ["train", "logger=none"]
GROWS = ["policy=schedule", "policy.fractions=[0.1]", "policy.price=0", "epochs=12"]
FILE = "base/network.safetensors"
ON = [*BASE, *GROWS, f"model.weights={FILE}"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(found)
        assert code_of(*BASE, "policy=never", "epochs=8", "hydra.run.dir=base") == 0
    return found


def test_a_frozen_host_ends_with_the_weights_that_it_began_with(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert code_of(*ON, "training.freeze_host=true", "hydra.run.dir=frozen") == 0
    began, ended = load_file(FILE), load_file("frozen/network.safetensors")
    assert all(ended[name].equal(tensor) for name, tensor in began.items())
    run = esper.load_run("frozen")
    assert run.metrics[1]["val_loss"] == pytest.approx(run.metrics[0]["val_loss"], rel=1e-6)
    assert run.summary is not None
    assert run.summary["seeds_germinated"] > 0


def test_a_run_goes_on_from_trained_weights_and_resumes_without_their_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert code_of(*ON, "training.warmup_epochs=2", "hydra.run.dir=on") == 0
    began, fresh = esper.load_run("on").metrics[0], esper.load_run("base").metrics[0]
    assert began["val_loss"] < fresh["val_loss"] / 2
    Path(FILE).rename("elsewhere.safetensors")
    assert code_of("train", "--resume", "on", "epochs=14") == 0
    assert summary_of(Path("on"))["epochs"] == 14
    network = esper.load_run("on").network()
    assert sum(p.numel() for p in network.parameters()) > 0
    assert code_of(*ON, "hydra.run.dir=gone") == 1
    Path("elsewhere.safetensors").rename(FILE)
