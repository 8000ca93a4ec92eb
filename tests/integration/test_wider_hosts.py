"""Runs whose whole host becomes wider, and runs without a number of epochs, end to end."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import esper
from esper.checkpoint.format import read
from tests.integration.in_process import code_of, summary_of

SMALL = ["model=mlp", "model.hidden=[4]", "training.lr=0.05", "policy.price=0"]
RUN = ["train", "logger=none", *SMALL, "policy=schedule", "policy.fractions=[0.03]"]
OPEN = [*RUN, "epochs=auto"]


def lines(run_dir: str, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    """Return the lines of a run without what a clock tells."""
    found = map(json.loads, (Path(run_dir) / name).read_text().splitlines())
    return [
        {k: v for k, v in line.items() if k != "time" and not k.endswith(("_ms", "_s"))}
        for line in found
    ]


def resizes(run_dir: str) -> list[dict[str, Any]]:
    return [each for each in lines(run_dir, "events.jsonl") if each["kind"] == "resize"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run of 50 MFLOPs, and the same stopped after half of them."""
    found = tmp_path_factory.mktemp("wider")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(found)
        assert code_of(*OPEN, "budget=50MFLOPs", "hydra.run.dir=whole") == 0
        assert code_of(*OPEN, "budget=24MFLOPs", "hydra.run.dir=half") == 0
    return found


def test_the_host_doubles_and_learns_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    first, *_ = resizes("whole")
    assert first["width"] == 2
    assert 1.8 < first["parameters_after"] / first["parameters_before"] < 2.2
    assert "under half of its steepest" in first["reason"]
    after = [line for line in lines("whole") if line["epoch"] > first["epoch"]]
    assert all(line["params"] >= first["parameters_after"] for line in after[:3])
    # Half of what was learned is left, so that the loss is far from that of a guess at once.
    assert after[0]["val_loss"] < 1.5
    summary = summary_of(Path("whole"))
    assert summary["stopped_by"] == "budget"
    assert summary["train_flops"] >= 50e6
    assert summary["train_flops"] - lines("whole")[-1]["flops"] < 50e6
    assert summary["params_initial"] == lines("whole")[0]["params"]


def test_what_is_told_at_each_doubling_of_the_cost_is_what_the_run_had(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    metrics = lines("whole")
    told = [each for each in lines("whole", "events.jsonl") if each["kind"] == "milestone"]
    assert len(told) >= 4
    for each in told:
        spent = [line["flops"] for line in metrics[: each["epoch"]]]
        assert each["flops"] == pytest.approx(sum(spent))
        octaves = [int.bit_length(int(sum(spent[:n]) / spent[0])) for n in (-1, None)]
        assert octaves[1] > octaves[0]
        best = metrics[each["best_epoch"] - 1]
        assert each["val_loss"] == best["val_loss"]
        assert best["val_loss"] == min(line["val_loss"] for line in metrics[: each["epoch"]])


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    half, whole = lines("half"), lines("whole")
    assert half == whole[: len(half)]
    assert code_of("train", "--resume", "half") == 0  # says that its budget is used
    assert lines("half") == half
    assert code_of("train", "--resume", "half", "budget=50MFLOPs") == 0
    assert lines("half") == whole
    network, same = (esper.load_run(name).network() for name in ("half", "whole"))
    pairs = zip(network.parameters(), same.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_wider_host_waits_for_the_open_trial_also_in_a_run_that_was_stopped_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    late = [*OPEN, "policy.fractions=[0.25]", "policy.seeds_per_adaptation=1", "safety.max_cost=99"]
    assert code_of(*late, "budget=60MFLOPs", "hydra.run.dir=whole") == 0
    (resized, *_), events = resizes("whole"), lines("whole", "events.jsonl")
    trial = [each["epoch"] for each in events if each["kind"] == "lifecycle"]
    settled = max(epoch for epoch in trial if epoch <= resized["epoch"])
    assert trial[0] < settled == resized["epoch"]
    assert code_of(*late, "budget=35MFLOPs", "hydra.run.dir=half") == 0
    assert read(Path("half/checkpoints/last")).tree["growing"]["pending"] is not None
    assert code_of("train", "--resume", "half", "budget=60MFLOPs") == 0
    assert lines("half") == lines("whole")
    assert resizes("half") == resizes("whole")


def test_networks_of_any_width_are_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    run = esper.load_run("whole")
    assert run.summary is not None
    read_out = sum(p.numel() for p in run.network().parameters())
    assert read_out == run.summary["params_final"]
    last = sum(p.numel() for p in run.network("last").parameters())
    assert last >= run.summary["params_initial"] * run.summary["width"] * 0.8


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["epochs=12", "budget=3s"], "budget=3s needs epochs=auto: a run of epochs=12 ends with"),
        (["epochs=auto", "budget=soon"], "budget must be none, a time such as 90s"),
        (["epochs=auto", "training.schedule=cosine"], "training.schedule=cosine falls towards the"),
        (["epochs=auto", "growth.widen=yes"], "growth.widen must be one of auto, never, got 'yes'"),
        (
            ["growth.widen=auto", "training.freeze_host=true"],
            "growth.widen=auto changes the host, which training.freeze_host keeps",
        ),
        (
            ["growth.widen=auto", "growth.birth=preserving", "model=resnet"],
            "growth.birth=preserving does not hold for this host",
        ),
        (
            ["growth.widen=auto", "model=custom", "model.factory=plain:net"],
            "model.factory 'plain:net': cannot be widened: it needs an argument `width`",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    overrides: list[str],
    problem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plain.py").write_text(
        "from torch import nn\ndef net():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.GELU(), nn.Linear(8, 10))\n"
    )
    assert code_of("train", "logger=none", "hydra.run.dir=refused", *overrides) == 1
    (line,) = [each for each in capfd.readouterr().err.splitlines() if each.strip()]
    assert problem in line


def test_a_signal_ends_an_open_run_with_the_best_network_so_far(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "esper", *OPEN, "hydra.run.dir=open"]
    metrics = tmp_path / "open" / "metrics.jsonl"
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (metrics.exists() and metrics.read_text().count("\n") >= 4):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "by SIGINT: test accuracy" in told
    summary = summary_of(tmp_path / "open")
    assert (summary["status"], summary["stopped_by"]) == ("finished", "SIGINT")
    run = esper.load_run(tmp_path / "open")
    losses = [line["val_loss"] for line in run.metrics]
    assert summary["read_out_epoch"] == 1 + losses.index(min(losses))
    assert sum(p.numel() for p in run.network().parameters()) == summary["params_final"]
