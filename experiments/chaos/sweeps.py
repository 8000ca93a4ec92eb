"""Check that a killed sweep, started again by the same command, ends like an undisturbed one."""

import csv
import signal
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from esper.rundir.records import RunState, state_of
from experiments.chaos.child import Fault, disturbed, run_command
from experiments.chaos.forks import forked
from experiments.chaos.left import differences

COMMAND = (
    "train",
    "-m",
    "logger=none",
    "data=spirals",
    "model=mlp",
    "policy=schedule",
    "epochs=12",
    "strategy=ucb,random",
    "rng_seed=0,1",
)
"""Four short runs."""
JOBS = ("0", "1", "2", "3")
REGIONS = ("training", "checkpoint", "record", "control step", "end", "germination")
MOST_CALLS = 2_000
KILLED = -signal.SIGKILL


def killed_sweep(kills: int, rng_seed: int, folder: Path) -> dict[str, Any]:
    """Kill a sweep `kills` times; return the moments, and the differences to an undisturbed one.

    Each start is killed at one of the first few entries of a region, so that kills fall on
    finished, running and waiting jobs.
    """
    rng, log = Random(f"sweeps/{rng_seed}"), folder / "sweep.log"
    calm, rough = folder / "calm", folder / "rough"
    assert forked(partial(run_command, [*COMMAND, f"hydra.sweep.dir={calm}"]), log) == 0
    struck: list[dict[str, Any]] = []
    arguments, code = [*COMMAND, f"hydra.sweep.dir={rough}"], KILLED
    for _ in range(kills):
        region = rng.choice(REGIONS)
        entries = 2 if region in ("end", "germination") else 16
        fault = Fault(region=region, entry=rng.randrange(entries), calls=rng.randrange(MOST_CALLS))
        code = forked(partial(disturbed, arguments, fault), log)
        if code != KILLED:
            break
        finished = sum(state_of(rough / job) is RunState.FINISHED for job in JOBS)
        struck.append({**asdict(fault), "jobs_finished": finished})
    if code == KILLED:
        code = forked(partial(run_command, arguments), log)
    problems = [f"exit code {code}: {log.read_text()[-500:]}"] if code else unlike(rough, calm)
    return {"kills": len(struck), "differences": problems, "moments": struck}


def unlike(sweep: Path, reference: Path) -> list[str]:
    """Return the differences between the folders of two sweeps: files, jobs and table."""
    names = [sorted(path.name for path in folder.iterdir()) for folder in (sweep, reference)]
    problems = [] if names[0] == names[1] else [f"holds {names[0]}, undisturbed {names[1]}"]
    for job in JOBS:
        problems += [f"job {job}: {each}" for each in differences(sweep / job, reference / job)]
    for number, rows in enumerate(zip(_table(sweep), _table(reference), strict=True)):
        keys = [key for key in rows[1] if rows[0].get(key) != rows[1][key]]
        problems += [f"sweep.csv: job {number}: {key}" for key in keys]
    return problems


def _table(sweep: Path) -> Sequence[dict[str, str]]:
    """Return the rows of `sweep.csv` without clock fields and folders."""
    with (sweep / "sweep.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    others = ("_s", "_ms", "control_fraction", "peak_memory_mb", "run_dir")
    return [{key: value for key, value in row.items() if not key.endswith(others)} for row in rows]
