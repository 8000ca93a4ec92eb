"""Soak: 24 hours' worth of decisions in one process; only networks may grow.

    python -m experiments.soak [--runs 250] [--steps 864000]

writes `experiments/results/soak.json`; a smaller soak writes only to `--out`.  864,000 control
steps are one every 0.1 s for a day.  There are three soaks, each in one process: whole runs, steps
of many growers, and steps of one long-lived grower.  Two processes work in parallel.  `flat.py`
defines what counts as flat.  If there is a leak, the exit code is 1.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from experiments.soak.runs import soak_runs
from experiments.soak.steps import soak_steps

RESULT = Path(__file__).parents[1] / "results" / "soak.json"
RUNS, STEPS = 250, 864_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak, write and print; return 1 if there is a leak."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    soaks = _soaked({"runs": partial(soak_runs, given.runs), **soak_steps(given.steps)})
    command = f"python -m experiments.soak --runs {given.runs} --steps {given.steps}"
    record = {"command": command, "ok": all(each["ok"] for each in soaks.values()), **soaks}
    is_whole = given.runs >= RUNS and given.steps >= STEPS
    out = given.out or (RESULT if is_whole else None)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(record) + "\n", encoding="utf-8")
    for name, soak in soaks.items():
        print("\n".join(lines(name, soak)))
    return 0 if record["ok"] else 1


def _soaked(soaks: Mapping[str, Callable[[], dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Run each soak in a fresh process, the longest first; return their results."""
    fresh = get_context("spawn")
    with ProcessPoolExecutor(
        2, mp_context=fresh, initializer=torch.set_num_threads, initargs=(1,), max_tasks_per_child=1
    ) as pool:
        waiting = {name: pool.submit(soak) for name, soak in reversed([*soaks.items()])}
        return {name: waiting[name].result() for name in soaks}


def lines(name: str, soak: Mapping[str, Any]) -> list[str]:
    """Return the results of a soak as lines of text."""
    counts = {key: value for key, value in soak.items() if isinstance(value, int) and key != "ok"}
    shown = [f"{name}: {'flat' if soak['ok'] else 'GROWS'} ({counts})"]
    for series, drift in soak["drift"].items():
        shown.append(
            f"  {series:10s} median {soak['median'][series]:g}, over the whole soak "
            f"{drift['growth']:+.2%} [{drift['low']:+.2%}, {drift['high']:+.2%}]"
            f"{'' if drift['flat'] else '  GROWS'}"
        )
    for series, steady in soak["constant"].items():
        shown.append(f"  {series:10s} {'constant' if steady else 'NOT CONSTANT'}")
    return shown


if __name__ == "__main__":
    sys.exit(main())
