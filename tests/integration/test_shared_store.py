"""Jobs side by side share a store, and each is a function of its options and what it read."""

import json
from pathlib import Path
from typing import Any

import pytest

from esper.store.sqlite import SQLite
from experiments.chaos.left import without_clock
from tests.integration.harness import Run, esper
from tests.integration.in_process import code_of
from tests.integration.option_cases import DENSE, EARLY

PROFILE = ["logger=none", *f"{DENSE} epochs=10 {EARLY}".split()]
SHARED = ["store=sqlite", "store.path=ledger.db"]
PARALLEL = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=sweep"]


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Three jobs, two at a time: the third begins when the first one has ended."""
    folder: Path = tmp_path_factory.mktemp("shared")
    done = esper(folder, ["train", "-m", *PROFILE, *SHARED, *PARALLEL, "rng_seed=0,1,2"])
    assert done.code == 0, done.err
    assert done.err == ""
    return [Run(folder / "sweep" / str(job)) for job in range(3)]


def alone(folder: Path, seed: int, *options: str) -> Run:
    where = f"hydra.run.dir={folder}"
    assert code_of("train", *PROFILE, f"rng_seed={seed}", *options, where) == 0
    return Run(folder)


def spread(run: Run) -> dict[str, float]:
    """Return by how much each blueprint's first score is below the best one."""
    (chosen,) = run.of("selection")
    scores = {each["blueprint"]: each["score"] for each in (chosen, *chosen["alternatives"])}
    return {name: max(scores.values()) - score for name, score in scores.items()}


def lived(run: Run) -> Any:
    """Return what happened to the network; a checkpoint's size follows its folder's name."""
    return without_clock([event for event in run.events if event["kind"] != "checkpoint"])


def test_no_job_loses_what_it_learned(jobs: list[Run]) -> None:
    store = SQLite(str(jobs[0].path.parents[1] / "ledger.db")).open()
    found = store.load()
    store.close()
    assert len(found) == len({(entry.run, entry.event) for entry in found})
    for job in jobs:
        own = [entry for entry in found if entry.run == str(job.path.resolve())]
        judged = [each["outcome"] | each["reward"] for each in job.of("reward")]
        latest = {(each["slot"], each["seed"], each["activation"]): each for each in judged}
        assert [entry.reward for entry in own] == [each["total"] for each in latest.values()]
        assert own
    assert len(found) == sum(len(job.of("ledger")) for job in jobs)


def test_each_job_is_repeated_alone_from_what_it_had_read(jobs: list[Run], tmp_path: Path) -> None:
    read = [job.summary["ledger_entries_read"] for job in jobs]
    assert read[2], "the third job began with what an earlier one had left"
    for seed, job in enumerate(jobs):
        again = alone(tmp_path / str(seed), seed, "store=snapshot", f"store.path={job.path}")
        assert without_clock(again.metrics) == without_clock(job.metrics)
        assert lived(again) == lived(job)
        network = (again.path / "network.safetensors").read_bytes()
        assert network == (job.path / "network.safetensors").read_bytes()
    kept = json.loads((jobs[2].path / "ledger_snapshot.json").read_text())
    assert kept == json.loads((tmp_path / "2" / "ledger_snapshot.json").read_text())


def test_each_job_says_what_it_read_and_that_others_ran_beside_it(jobs: list[Run]) -> None:
    for job in jobs:
        kept = json.loads((job.path / "ledger_snapshot.json").read_text())
        told = job.summary["ledger_snapshot"]
        assert job.summary["ledger_entries_read"] == len(kept["entries"])
        assert told["runs"] == len({entry["run"] for entry in kept["entries"]})
        assert kept["moment"]["launcher"] == told["launcher"] == "joblib"
        assert kept["moment"]["run"] == told["run"] == str(job.path.resolve())


def test_what_a_job_read_does_make_a_difference(jobs: list[Run], tmp_path: Path) -> None:
    read = ["store=snapshot", f"store.path={jobs[2].path}"]
    # Without first-order scores an arm of which nothing was read has no score, and comes first.
    blind = ("strategy.first_order_weight=0", "store.prior=none")
    cold = alone(tmp_path / "cold", 2, "store=memory", *blind)
    warm = alone(tmp_path / "warm", 2, *read, *blind)
    untried, known = (
        {
            arm["blueprint"]
            for arm in each.of("selection")[0]["alternatives"]
            if arm["score"] is None
        }
        for each in (cold, warm)
    )
    assert known < untried
    # With them it still ranks its arms by what was read.
    ignorant = alone(tmp_path / "ignorant", 2, "store=memory")
    assert spread(jobs[2]) != pytest.approx(spread(ignorant))
