"""What a sweep leaves: a whole run directory a job, one table of all of them, and its own name."""

import csv
import statistics
from pathlib import Path

import pytest

from experiments.chaos.left import without_clock
from tests.integration.harness import Done, Run, esper, esper_forked
from tests.integration.option_cases import DENSE, EARLY
from tests.unit.logger.test_wandb import settled

PROFILE = f"{DENSE} epochs=10 {EARLY}".split()
SWEPT = ["strategy=ucb", "strategy.exploration_constant=0.5,1,2", "rng_seed=0,1"]
JOBS = [(constant, seed) for constant in ("0.5", "1", "2") for seed in ("0", "1")]
NUMBERS = ["test_accuracy", "test_loss", "best_val_accuracy", "params_final", "train_flops"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    sweep = ["train", "-m", "logger=none", *PROFILE, *SWEPT]
    folder: Path = tmp_path_factory.mktemp("sweep")
    commands = {
        "sweep": sweep,
        "single": ["train", "logger=none", *PROFILE, "rng_seed=1"],
        "failing": ["train", "-m", *PROFILE, "name=blocks", "model.slots=[blok1],[block1]"],
    }
    parallel = [*sweep, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    return {**esper_forked(folder, commands), "parallel": esper(folder / "parallel", parallel)}


@pytest.fixture(scope="module")
def folder(done: dict[str, Done]) -> Path:
    return only_sweep(done["sweep"])


def only_sweep(done: Done) -> Path:
    (found,) = done.cwd.glob("sweeps/*/*")
    return found


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_job_is_a_whole_run(done: dict[str, Done], folder: Path) -> None:
    assert done["sweep"].code == 0
    assert done["sweep"].err == ""
    jobs = {path.name for path in folder.iterdir() if path.is_dir()}
    assert jobs == {"0", "1", "2", "3", "4", "5"}
    for job in jobs:
        run = Run(folder / job)
        assert {path.name for path in run.path.iterdir()} == {
            ".hydra",
            "checkpoints",
            "config.json",
            "metrics.jsonl",
            "events.jsonl",
            "summary.json",
            "network.safetensors",
        }
        assert run.summary["status"] == "finished"
        assert run.moves("BLENDING"), "something grew"
    assert not list(done["sweep"].cwd.glob("runs"))


def test_the_table_has_a_row_a_job_with_its_numbers(folder: Path) -> None:
    rows = rows_of(folder)
    assert [(row["strategy.exploration_constant"], row["rng_seed"]) for row in rows] == JOBS
    for job, row in enumerate(rows):
        summary = Run(folder / str(job)).summary
        assert row["job"] == str(job)
        assert row["status"] == "finished"
        assert [float(row[key]) for key in NUMBERS] == [summary[key] for key in NUMBERS]


def test_the_table_printed_groups_the_jobs_that_differ_in_chance_alone(
    done: dict[str, Done], folder: Path
) -> None:
    said = done["sweep"].out
    assert f"6 of 6 jobs finished: {folder.relative_to(done['sweep'].cwd)}/sweep.csv" in said
    for constant in ("0.5", "1", "2"):
        assert f"strategy.exploration_constant={constant} " in said
        group = [row for row in rows_of(folder) if row["strategy.exploration_constant"] == constant]
        mean = statistics.mean(float(row["test_accuracy"]) for row in group)
        assert f"{100 * mean:.1f} %" in said


def test_a_job_is_the_run_that_its_options_alone_would_have_been(
    done: dict[str, Done], folder: Path
) -> None:
    """Also after five others in one process; exploration never mattered in so short a run."""
    alone, last = done["single"].run, Run(folder / "5")
    assert last.summary["rng_seed"] == alone.summary["rng_seed"] == 1
    assert without_clock(last.metrics) == without_clock(alone.metrics)
    assert without_clock(last.events) == without_clock(alone.events)


def test_jobs_side_by_side_are_the_jobs_one_after_the_other(
    done: dict[str, Done], folder: Path
) -> None:
    assert done["parallel"].code == 0, done["parallel"].err
    parallel = only_sweep(done["parallel"])
    for job in map(str, range(6)):
        networks = [each / job / "network.safetensors" for each in (folder, parallel)]
        assert networks[0].read_bytes() == networks[1].read_bytes()
    assert [row["test_loss"] for row in rows_of(folder)] == [
        row["test_loss"] for row in rows_of(parallel)
    ]


def test_a_job_that_fails_is_told_and_does_not_stop_the_others(done: dict[str, Done]) -> None:
    failing = done["failing"]
    line = failing.refusal
    assert "slots (model.slots): no module 'blok1'" in line
    assert "1 of 2 jobs finished" in failing.out
    assert "job 0 failed: slots (model.slots): no module 'blok1'" in " ".join(failing.out.split())
    folder = only_sweep(failing)
    assert folder.parent.name == "blocks"
    assert [row["status"] for row in rows_of(folder)] == ["failed", "finished"]
    assert Run(folder / "0").summary == {"status": "failed", "error": line}
    assert Run(folder / "1").moves("BLENDING")


def test_the_jobs_of_a_sweep_are_a_group_at_wandb(done: dict[str, Done]) -> None:
    folder = only_sweep(done["failing"])
    (file,) = (folder / "1").glob("wandb/offline-run-*/run-*.wandb")
    (begun,) = [record.run for record in settled(file) if record.WhichOneof("record_type") == "run"]
    assert begun.run_group == folder.name
    assert not list((folder / "0").glob("wandb/offline-run-*")), "it never began"
