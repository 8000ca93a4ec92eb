"""Figures of the command line: real commands in separate processes and empty folders."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from experiments.benchmarks.figure import Figure

ESPER = Path(sys.executable).with_name("esper")
RNG_SEEDS = tuple(zlib.crc32(word) % 10_000 for word in (b"germinate", b"fossilize", b"cull"))
"""Checksums of three words: chosen without knowledge of the results."""
HELP_ROUNDS = 7
POLL_S = 0.01


@dataclass(frozen=True)
class Run:
    """One `esper train` with its defaults.

    first_epoch_s, wall_s: time from the start of the process to the first line of `metrics.jsonl`,
        and to its end.
    control_fraction, checkpoint_fraction, germinated, fossilized, culled: from the run's records.
    """

    first_epoch_s: float
    wall_s: float
    control_fraction: float
    checkpoint_fraction: float
    germinated: int
    fossilized: int
    culled: int


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
        _figure(
            "checkpoint_fraction",
            "of the time",
            0.05,
            [run.checkpoint_fraction for run in runs],
        ),
        _figure("first_epoch_done", "s", 8.0, [run.first_epoch_s for run in runs]),
        _figure("train_default", "s", 60.0, [run.wall_s for run in runs]),
        _lacking("no_fossil", 0, [run.fossilized for run in runs]),
        _lacking("no_cull", len(runs) - 1, [run.culled for run in runs]),
    ]


def _lacking(name: str, goal: int, counts: list[int]) -> Figure:
    """Return the number of runs whose count is 0; the goal is the largest allowed number."""
    shown = ", ".join(map(str, counts))
    return Figure(
        name=f"train_default/{name}",
        value=counts.count(0),
        unit=f"of {len(counts)} runs",
        goal=goal,
        reference=f"rng seeds {', '.join(map(str, RNG_SEEDS))}: {shown}",
    )


def _figure(name: str, unit: str, goal: float, values: list[float]) -> Figure:
    each = ", ".join(f"{value:.3g}" for value in values)
    return Figure(
        name=name,
        value=statistics.median(values),
        unit=unit,
        goal=goal,
        reference=f"rng seeds {', '.join(map(str, RNG_SEEDS))}: {each}",
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
        events = (run_dir / "events.jsonl").read_text(encoding="utf-8").splitlines()
        notes = [each for each in map(json.loads, events) if each["kind"] == "checkpoint"]
        saving_s = sum(note["save_ms"] for note in notes) / 1e3
    return Run(
        first_epoch_s,
        wall_s,
        summary["control_fraction"],
        saving_s / summary["wall_s"],
        summary["seeds_germinated"],
        summary["seeds_fossilized"],
        summary["seeds_culled"],
    )


def _has_line(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
