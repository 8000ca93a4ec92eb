"""The command line, from outside: real commands in processes of their own, in an empty folder."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from experiments.benchmarks.figure import Figure

ESPER = Path(sys.executable).with_name("esper")
RNG_SEEDS = (0, 1, 2)
HELP_ROUNDS = 7
POLL_S = 0.01


@dataclass(frozen=True)
class Run:
    """One `esper train` with its defaults.

    first_epoch_s, wall_s: from the start of the process to the first line of `metrics.jsonl`, and
        to its end.
    control_fraction: the run's own account.
    """

    first_epoch_s: float
    wall_s: float
    control_fraction: float


def helped() -> list[Figure]:
    """Return the median seconds of `esper --help`."""
    with tempfile.TemporaryDirectory() as folder:
        spans = [_help(folder) for _ in range(HELP_ROUNDS)]
    reference = f"{HELP_ROUNDS} calls, {min(spans):.2f} to {max(spans):.2f} s"
    return [
        Figure(name="help", value=statistics.median(spans), unit="s", goal=0.3, reference=reference)
    ]


def default_runs() -> list[Figure]:
    """Return medians over runs of `esper train`, logging to W&B offline."""
    runs = [_train(rng_seed) for rng_seed in RNG_SEEDS]
    return [
        _figure("control_fraction", "of the time", 0.05, [run.control_fraction for run in runs]),
        _figure("first_epoch_done", "s", 8.0, [run.first_epoch_s for run in runs]),
        _figure("train_default", "s", 60.0, [run.wall_s for run in runs]),
    ]


def _figure(name: str, unit: str, goal: float, values: list[float]) -> Figure:
    each = ", ".join(f"{value:.3g}" for value in values)
    return Figure(
        name=name,
        value=statistics.median(values),
        unit=unit,
        goal=goal,
        reference=f"rng seeds {RNG_SEEDS[0]} to {RNG_SEEDS[-1]}: {each}",
    )


def _help(folder: str) -> float:
    began = time.perf_counter()
    subprocess.run([ESPER, "--help"], cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - began


def _train(rng_seed: int) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        command = [str(ESPER), "train", f"rng_seed={rng_seed}", f"hydra.run.dir={run_dir}"]
        began = time.perf_counter()
        with subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "WANDB_MODE": "offline"},
            stdout=subprocess.DEVNULL,
        ) as process:
            metrics = run_dir / "metrics.jsonl"
            while process.poll() is None and not _has_line(metrics):
                time.sleep(POLL_S)
            first_epoch_s = time.perf_counter() - began
            status = process.wait()
        wall_s = time.perf_counter() - began
        if status != 0:
            raise RuntimeError(f"esper train rng_seed={rng_seed} ended with {status}")
        summary = json.loads((run_dir / "summary.json").read_text(encoding="utf-8"))
    return Run(first_epoch_s, wall_s, summary["control_fraction"])


def _has_line(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
