"""A sweep as rows: the overrides and results of its jobs, and their groups, the best first.

The interval of a group is a percentile bootstrap over its jobs (their rng seeds): 95 % of the means
of resampled jobs lie in it.  It needs five jobs; of fewer it would be little else than their range.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from esper.contracts.errors import DataError
from esper.logger.format import UNKNOWN, is_number, measured
from esper.rundir.records import RunState, is_run, load_overrides, load_summary, missing, state_of

_RESAMPLES = 4_000
LEAST_JOBS = 5
"""A resample holds only the lowest of n jobs in n ** -n of the cases: 25 % of 2, 0.03 % of 5."""

_METRICS = ("test_accuracy", "best_val_accuracy", "test_loss")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job of a sweep, or one run of a comparison.

    status: the state of its folder.
    overrides: values by key, as typed.
    numbers: numbers and texts of summary.json, empty without one.
    """

    path: Path
    name: str
    status: str
    overrides: dict[str, str]
    numbers: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The jobs that differ only in their rng seed.

    jobs: number of jobs.
    values: the metric of each job that finished and has it.
    low, high: ends of the 95 % interval of the mean, None for fewer than `LEAST_JOBS` values.
    """

    label: str
    jobs: int
    values: tuple[float, ...]
    mean: float | None
    low: float | None
    high: float | None

    def interval(self, metric: str) -> str:
        """Return the interval as text, such as `91.0 % to 92.4 %`."""
        if self.low is None or self.high is None:
            return UNKNOWN
        return f"{measured(metric, self.low)} to {measured(metric, self.high)}"


def collect(sweep_dir: Path | str) -> list[Job]:
    """Return the jobs of a sweep folder, in order of their numbers.

    Raises:
        DataError: if the folder holds no job, or a job's files are broken.
    """
    folder = Path(sweep_dir)
    if not folder.is_dir():
        raise DataError(f"no run and no sweep at {folder}: {missing(folder)}")
    paths = [path for path in folder.iterdir() if path.is_dir() and is_run(path)]
    if not paths:
        raise DataError(f"no run and no sweep at {folder}: nothing in it has a .hydra folder")
    return [job_of(path) for path in sorted(paths, key=_job_order)]


def job_of(path: Path) -> Job:
    """Return a run directory as a job; raise DataError if its files are broken.

    A job that failed early has at least its overrides.
    """
    summary = load_summary(path)
    pairs = (override.partition("=") for override in load_overrides(path))
    plain = {
        key: value
        for key, value in (summary or {}).items()
        if key != "status" and isinstance(value, str | int | float | None)
    }
    return Job(
        path=path,
        name=path.name,
        status=state_of(path),
        overrides={key.lstrip("+~"): value for key, _, value in pairs},
        numbers=plain,
    )


def write_csv(jobs: Sequence[Job], path: Path) -> None:
    """Write a row for each job: name, status, every override, every number of its summary."""
    overrides = [key for job in jobs for key in job.overrides]
    numbers = [key for job in jobs for key in job.numbers]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, dict.fromkeys(["job", "status", *overrides, *numbers]))
        writer.writeheader()
        for job in jobs:
            writer.writerow({"job": job.name, "status": job.status} | job.numbers | job.overrides)


def metric_of(jobs: Sequence[Job]) -> str:
    """Return the metric to compare by: the first of the usual ones that any job has."""
    known = {key for job in jobs for key, value in job.numbers.items() if is_number(value)}
    return next((metric for metric in _METRICS if metric in known), _METRICS[0])


def table(jobs: Sequence[Job], metric: str) -> list[Group]:
    """Return the jobs grouped by their overrides except rng_seed, the best mean first.

    A label names only the overrides in which the groups differ.
    """
    members: dict[tuple[tuple[str, str], ...], list[Job]] = {}
    for job in jobs:
        key = tuple(sorted(item for item in job.overrides.items() if item[0] != "rng_seed"))
        members.setdefault(key, []).append(job)
    common = set.intersection(*(set(key) for key in members)) if len(members) > 1 else set()
    groups = [_group(key, common, group, metric) for key, group in members.items()]
    sign = 1.0 if metric.endswith("loss") else -1.0
    return sorted(groups, key=lambda group: (group.mean is None, sign * (group.mean or 0.0)))


def _group(
    key: tuple[tuple[str, str], ...], common: set[tuple[str, str]], jobs: Sequence[Job], metric: str
) -> Group:
    finished = [job.numbers.get(metric) for job in jobs if job.status == RunState.FINISHED]
    values = tuple(float(value) for value in finished if is_number(value))
    low, high = bootstrap(values)
    words = [f"{name}={value}" for name, value in key if (name, value) not in common]
    return Group(
        label=" ".join(words) or "defaults",
        jobs=len(jobs),
        values=values,
        mean=float(np.mean(values)) if values else None,
        low=low,
        high=high,
    )


def bootstrap(values: Sequence[float], rng_seed: int = 0) -> tuple[float | None, float | None]:
    """Return the ends of the 95 % bootstrap interval of the mean; None for too few values."""
    if len(values) < LEAST_JOBS:
        return None, None
    rng = np.random.default_rng(rng_seed)
    drawn = rng.choice(np.asarray(values), size=(_RESAMPLES, len(values)))
    low, high = np.percentile(drawn.mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _job_order(path: Path) -> tuple[int, str]:
    return (int(path.name) if path.name.isdigit() else 10**9, path.name)
