"""Jobs as rows, rng seeds as one group, intervals with the stated coverage."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esper.contracts.errors import DataError
from esper.report.sweep import Job, bootstrap, collect, metric_of, table, write_csv


def job(value: float | None, status: str = "finished", **overrides: str) -> Job:
    numbers = {} if value is None else {"test_accuracy": value}
    return Job(path=Path("x"), name="0", status=status, overrides=dict(overrides), numbers=numbers)


def test_jobs_come_in_the_order_of_their_numbers_with_their_status(
    tmp_path: Path, make_sweep: Any
) -> None:
    folder = make_sweep(tmp_path / "sweep")
    (folder / "6").rename(folder / "10")
    jobs = collect(folder)
    assert [job.name for job in jobs] == ["0", "1", "2", "3", "4", "5", "10"]
    assert [job.status for job in jobs] == ["finished"] * 6 + ["interrupted"]
    assert jobs[4].overrides == {"strategy": "ucb", "rng_seed": "1", "epochs": "40"}
    assert jobs[4].numbers["test_accuracy"] == pytest.approx(0.957 - 0.02 + 0.004)
    assert "versions" not in jobs[4].numbers


def test_the_table_groups_over_rng_seeds_and_names_only_the_difference(
    tmp_path: Path, make_sweep: Any
) -> None:
    jobs = [job for job in collect(make_sweep(tmp_path / "sweep")) if job.name != "6"]
    groups = table(jobs, "test_accuracy")
    assert [group.label for group in groups] == ["strategy=thompson", "strategy=ucb"]
    assert [group.mean for group in groups] == [pytest.approx(0.961), pytest.approx(0.941)]
    assert groups[0].values == (pytest.approx(0.957), pytest.approx(0.961), pytest.approx(0.965))
    assert [group.interval("test_accuracy") for group in groups] == ["-", "-"], "of three jobs"


def test_what_did_not_finish_is_counted_but_not_averaged() -> None:
    jobs = [
        job(0.9, a="1", rng_seed="0"),
        job(0.1, "failed", a="1", rng_seed="1"),
        job(None, a="2"),
    ]
    first, second = table(jobs, "test_accuracy")
    assert (first.label, first.jobs, first.values, first.mean) == ("a=1", 2, (0.9,), 0.9)
    assert (first.low, first.high) == (None, None)
    assert (second.jobs, second.mean) == (1, None)


def test_of_losses_the_lowest_comes_first() -> None:
    jobs = [
        Job(path=Path("x"), name="0", status="finished", overrides={"a": a}, numbers=numbers)
        for a, numbers in (("1", {"test_loss": 0.5}), ("2", {"test_loss": 0.1}))
    ]
    assert metric_of(jobs) == "test_loss"
    assert [group.label for group in table(jobs, "test_loss")] == ["a=2", "a=1"]


def test_jobs_without_overrides_are_the_defaults() -> None:
    assert [group.label for group in table([job(0.9, rng_seed="3")], "test_accuracy")] == [
        "defaults"
    ]


def test_the_interval_holds_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        low, high = bootstrap(tuple(rng.normal(1.0, 0.1, size=20)))
        assert low is not None
        assert high is not None
        hits += low <= 1.0 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_the_interval_is_the_same_each_time_and_lies_within_the_values() -> None:
    values = (0.1, 0.2, 0.3, 0.4, 0.5)
    assert bootstrap(values) == bootstrap(values)
    low, high = bootstrap(values)
    assert low is not None
    assert high is not None
    assert 0.1 < low < 0.3 < high < 0.5
    assert bootstrap((0.3,) * 5) == (pytest.approx(0.3), pytest.approx(0.3))


def test_fewer_than_five_values_have_no_interval() -> None:
    for count in range(5):
        assert bootstrap((0.1, 0.2, 0.4, 0.5)[:count]) == (None, None)
    (group,) = table([job(0.9 + 0.01 * n, rng_seed=str(n)) for n in range(5)], "test_accuracy")
    assert group.low is not None
    assert 0.90 < group.low < 0.92
    assert group.interval("test_accuracy").startswith("90.")


def test_the_csv_has_a_row_a_job(tmp_path: Path, make_sweep: Any) -> None:
    jobs = collect(make_sweep(tmp_path / "sweep"))
    write_csv(jobs, tmp_path / "sweep.csv")
    with (tmp_path / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7
    assert rows[3]["strategy"] == "ucb"
    assert float(rows[3]["test_accuracy"]) == pytest.approx(0.937)
    assert (rows[6]["status"], rows[6]["test_accuracy"]) == ("interrupted", "")


def test_a_folder_without_runs_is_no_sweep(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    with pytest.raises(DataError, match="no run and no sweep at"):
        collect(tmp_path)
    with pytest.raises(DataError, match=r"no run and no sweep at .*gone: it does not exist"):
        collect(tmp_path / "gone")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file: it is not a folder"):
        collect(tmp_path / "file")


def test_a_failed_job_keeps_its_error_in_the_csv(tmp_path: Path, make_sweep: Any) -> None:
    sweep = make_sweep(tmp_path / "sweep")
    (sweep / "6" / "summary.json").write_text('{"status": "failed", "error": "lr must be > 0"}')
    jobs = collect(sweep)
    write_csv(jobs, tmp_path / "sweep.csv")
    with (tmp_path / "sweep.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert (last["job"], last["status"], last["error"]) == ("6", "failed", "lr must be > 0")
    assert last["test_accuracy"] == ""
