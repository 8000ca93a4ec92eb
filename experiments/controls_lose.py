"""Measure how often useless kernels are fossilized in default runs.

    python -m experiments.controls_lose --seeds 60

    noop            adds nothing: its gain is exactly 0
    frozen_random   random weights that do not learn
    permuted        trained layers that read the input of another sample of the batch

They are offered beside `conv` and `mlp`.  The strategy is `random`, so that all blueprints are
tried equally often.  Writes `experiments/results/controls_lose.json` and prints the rates with
their intervals.  A stopped command goes on where it was.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from esper.blueprint.options import Blueprints
from esper.strategy.random import Random
from experiments.cells import Cell, Cells
from experiments.gate_kernels import USELESS, enlist
from experiments.measured import measure
from experiments.stats import rate
from experiments.tasks import WITHOUT_FILES, Place

RESULT = Path(__file__).parent / "results" / "controls_lose.json"
PLANTED = ("conv", "mlp", *USELESS)

Row = dict[str, Any]


def trials(task: str, rng_seed: int) -> list[Row]:
    """Return all settled activations of a run: blueprint, gain, and whether it was fossilized."""
    enlist()
    blueprint = Blueprints(names=PLANTED)
    run = measure(Place(task).config(rng_seed, blueprint=blueprint, strategy=Random()))
    judged = [event for event in run.events if event["kind"] == "reward"]
    outcomes = [e["outcome"] for e in judged if e["epochs_after_keeping"] is None]
    keys = ("slot", "blueprint", "fossilized", "gain", "gain_error", "ablation", "reason")
    return [{key: outcome[key] for key in keys} for outcome in outcomes]


def rates(rows: Sequence[Row]) -> dict[str, list[float]]:
    """Return the number of trials and the share fossilized with its interval, by blueprint.

    `useless` are all useless kernels but `noop`, whose gain of 0 needs no statistics.
    """
    tried = Counter(row["blueprint"] for row in rows)
    kept = Counter(row["blueprint"] for row in rows if row["fossilized"])
    learned = tuple(name for name in USELESS if name != "noop")
    groups = {**{name: (name,) for name in sorted(tried)}, "useless": learned}
    found = {}
    for name, members in groups.items():
        number = sum(tried[member] for member in members)
        if number:
            share = rate(sum(kept[member] for member in members), number)
            found[name] = [number, share.value, share.low, share.high]
    return found


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--tasks", nargs="+", choices=WITHOUT_FILES, default=WITHOUT_FILES)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.seeds)
    wanted: list[Cell] = [(task, seed) for seed in seeds for task in given.tasks]
    command = f"python -m experiments.controls_lose --seeds {given.seeds} --first {given.first}"
    cells = Cells(given.out, command)
    cells.fill(trials, wanted, given.processes)
    rows = [row for run in cells.results.values() for row in run]
    found = rates(rows)
    not_zero = sum(row["blueprint"] == "noop" and row["gain"] not in (0, None) for row in rows)
    cells.write(fossilized=found, noop_with_a_gain=not_zero)
    for name, (number, value, low, high) in found.items():
        print(f"{name:16s} fossilized {value:.3f} [{low:.3f}, {high:.3f}] of {number:g}")
    print(f"trials of noop with a gain other than 0: {not_zero}")


if __name__ == "__main__":
    main()
