"""A sweep that was stopped goes on like a run."""

import json
import shutil
from pathlib import Path

import pytest

from esper.rundir.lock import lock_run_dir
from experiments.chaos.left import without_clock
from tests.integration.harness import lines_of
from tests.integration.in_process import code_of
from tests.integration.resumable import WHEN
from tests.integration.test_resume import EPOCHS, RUN, STEPS, assert_same, whole

__all__ = ["whole"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


SWEEP = ["-m", *RUN, "hydra.sweep.dir=sweep", "rng_seed=0,1"]


def test_a_sweep_that_was_stopped_ends_like_an_undisturbed_one(
    whole: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(WHEN, str(EPOCHS * STEPS // 2))
    assert code_of("train", *SWEEP) == 130
    assert len(lines_of(Path("sweep/0/metrics.jsonl"))) < EPOCHS
    monkeypatch.delenv(WHEN)
    assert code_of("train", "--resume", "sweep/0") == 0
    assert code_of("train", "--resume", "sweep") == 0
    said = capfd.readouterr().out
    assert "job 0: finished before" in said
    assert "2 of 2 jobs finished" in said
    assert_same(Path("sweep/0"), whole)

    monkeypatch.setenv(WHEN, "20")
    again = [*SWEEP[:-2], "hydra.sweep.dir=again", "rng_seed=0,1"]
    assert code_of("train", *again) == 130
    monkeypatch.delenv(WHEN)
    assert code_of("train", *again) == 0
    assert_same(Path("again/0"), whole)
    assert_same(Path("again/1"), Path("sweep/1"))


def test_a_sweep_is_resumed_under_its_own_configuration_only(
    whole: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    single = ["-m", *RUN, "hydra.sweep.dir=sweep", "rng_seed=0"]
    assert code_of("train", *single) == 0
    capfd.readouterr()
    assert code_of("train", "--resume", "sweep", "training.lr=0.5") == 1
    assert "continues with its own options, got training.lr=0.5" in capfd.readouterr().err
    assert code_of("train", "--resume", "sweep", "store.prior=none") == 1
    assert "continues with its own options, got store.prior=none" in capfd.readouterr().err
    assert_kept(Path("sweep/0"), whole)
    assert code_of("train", "--resume", "sweep", "logger=none") == 0
    assert "job 0: finished before" in capfd.readouterr().out


def test_the_records_of_a_job_that_another_process_trains_are_left_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "sweep" / "0"
    job.mkdir(parents=True)
    (job / "metrics.jsonl").write_text("{}\n")
    with lock_run_dir(job):
        assert code_of("train", "-m", *RUN, "hydra.sweep.dir=sweep", "rng_seed=0") == 1
    assert "is being trained by another process" in capfd.readouterr().err
    assert (job / "metrics.jsonl").read_text() == "{}\n"


def test_options_that_refer_to_others_are_those_of_each_job_when_it_is_resumed() -> None:
    typed = "training.steps_per_epoch=${rng_seed}"
    sweep = ["-m", *RUN, "epochs=2", "hydra.sweep.dir=sweep", "rng_seed=3,5", typed]
    assert code_of("train", *sweep) == 0
    assert typed in json.loads(Path("sweep/command.json").read_text())["overrides"]
    shutil.rmtree("sweep/1")
    assert code_of("train", "--resume", "sweep") == 0
    three, five = (lines_of(Path(f"sweep/{job}/metrics.jsonl"))[0]["flops"] for job in "01")
    assert five / three == 5 / 3


def assert_kept(run: Path, whole: Path) -> None:
    """What the run left is there, whatever was tried on it."""
    weights = [(each / "network.safetensors").read_bytes() for each in (run, whole)]
    assert weights[0] == weights[1]
    lines = [without_clock(lines_of(each / "metrics.jsonl")) for each in (run, whole)]
    assert lines[0] == lines[1]
