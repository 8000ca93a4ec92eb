"""Sweeps: failures, what is left alone the second time, and several jobs at a time."""

import csv
import shutil
from pathlib import Path

import pytest

from tests.integration.harness import esper
from tests.integration.in_process import TINY, code_of, summary_of


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ESPER_DEBUG", raising=False)


SWEEP = ["-m", *TINY, "hydra.sweep.dir=sweep", "rng_seed=0,1", "strategy.exploration_constant=1,-1"]


def test_a_sweep_outlives_its_failed_jobs_and_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    assert code_of("train", *SWEEP) == 1
    said = capfd.readouterr().out
    assert "2 of 4 jobs finished" in said
    assert "job 1 failed: strategy.exploration_constant must be >= 0" in said
    statuses = [summary_of(Path("sweep") / str(job))["status"] for job in range(4)]
    assert statuses == ["finished", "failed", "finished", "failed"]
    rows = list(csv.DictReader(Path("sweep/sweep.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["rng_seed"] for row in rows] == ["0", "0", "1", "1"]
    assert [row["test_accuracy"] != "" for row in rows] == [True, False, True, False]


def test_a_sweep_run_again_does_only_what_is_missing(capfd: pytest.CaptureFixture[str]) -> None:
    sweep = ["-m", *TINY, "hydra.sweep.dir=sweep"]
    assert code_of("train", *sweep, "rng_seed=0,1,2") == 0
    (Path("sweep/1") / "summary.json").unlink()
    shutil.rmtree("sweep/2")
    kept, written = summary_of(Path("sweep/0")), written_at()
    capfd.readouterr()

    assert code_of("train", *sweep, "rng_seed=0,1,2") == 0
    said = capfd.readouterr().out
    assert "job 0: finished before, left as it is" in said
    assert said.count("finished before") == 1
    assert "3 of 3 jobs finished" in said
    assert summary_of(Path("sweep/0")) == kept
    again = written_at()
    assert {job for job in again if again[job] == written.get(job)} == {"0"}
    for job in (1, 2):
        assert summary_of(Path(f"sweep/{job}"))["rng_seed"] == job
        assert len(Path(f"sweep/{job}/metrics.jsonl").read_text().splitlines()) == 1

    for other in ("rng_seed=5,1,2", "rng_seed=1,0,2"):
        assert code_of("train", *sweep, other) == 1
        both = ", ".join(sorted((other, "rng_seed=0,1,2")))
        assert f"holds a sweep with other options ({both})" in capfd.readouterr().err
    assert summary_of(Path("sweep/0")) == kept
    assert "rng_seed=0,1,2" in Path("sweep/command.json").read_text(encoding="utf-8")


def written_at() -> dict[str, int]:
    """Return when each job's network was written."""
    files = Path("sweep").glob("*/network.safetensors")
    return {file.parent.name: file.stat().st_mtime_ns for file in files}


def test_a_parallel_sweep_behaves_like_one_after_the_other() -> None:
    parallel = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    done = esper(Path(), ["train", *SWEEP, *parallel])
    assert done.code == 1, done.err
    assert "2 of 4 jobs finished" in done.out
    again = esper(Path(), ["train", *SWEEP, *parallel])
    assert again.code == 1
    assert again.out.count("finished before") == 2
