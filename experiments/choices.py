"""Measure whether rewards and strategies decide which kernels default runs try.

    python -m experiments.choices --seeds 20

Every choice of a default run is made again at once, with the same first-order scores and random
numbers: by each strategy, and without the rewards of this run (`blind`, see `replay`).  A choice is
the set of blueprints that one plan germinates; those that the plan itself names do not count.
Shares are over the choices after the third settled trial, with Wilson's interval, and as
the mean over runs with a bootstrap over rng seeds.

Then whole runs are compared: with each reward model, with exploration constants 0.5 and 8, and
without a prior, where choices are replayed as well.  The kinds of change that default runs made are
counted.

Writes `experiments/results/choices.json` and prints the table.  A stopped command goes on where it
was.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from esper.policy.rules.verdict import VerdictRules
from esper.reward.gain import Gain
from esper.reward.sparse import Sparse
from esper.store.memory import Memory
from esper.store.prior import NONE
from esper.strategy.ucb import UCB
from experiments.cells import Cell, Cells
from experiments.measured import measure
from experiments.replay import STRATEGIES, Row, replayed
from experiments.stats import bootstrap, rate
from experiments.tasks import TUNING_SPLIT_SEED, Place

RESULT = Path(__file__).parent / "results" / "choices.json"
SETTLED = 3
"""Settled trials of a run after which its choices count."""

PLANS = ("diversify", "ensemble", "specialize", "replace")
"""The plans of add_neurons, add_layer, remove_neurons and replace."""

DEFAULT = "default"
COLD = "prior=none"
CHANGES: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "reward=gain": {"reward": Gain()},
    "reward=sparse": {"reward": Sparse()},
    "c=0.5": {"strategy": UCB(exploration_constant=0.5)},
    "c=8": {"strategy": UCB(exploration_constant=8.0)},
    COLD: {"store": Memory(prior=NONE)},
}


def cell(change: str, rng_seed: int) -> Row:
    """Return the choices of a default run with a change, and its number of trials."""
    place = Place("digits", split_seed=TUNING_SPLIT_SEED)
    with replayed(VerdictRules()) as replay:
        run = measure(place.config(rng_seed, **CHANGES[change]))
    kinds = [e["plan_kind"] for e in run.events if e["kind"] == "plan" and e["changes"]]
    return {
        "change": change,
        "rng_seed": rng_seed,
        "trials": run.summary["seeds_germinated"],
        "plans": {kind: kinds.count(kind) for kind in PLANS},
        "choices": replay.choices,
    }


def table(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what the runs tell."""
    runs = {(row["change"], row["rng_seed"]): row for row in rows}
    plain = [row for row in rows if row["change"] == DEFAULT]
    late, cold = _late(plain), _late([row for row in rows if row["change"] == COLD])
    pairs = [("chosen", "blind"), *combinations([each.name for each in STRATEGIES], 2)]
    return {
        "median_trials": statistics.median(row["trials"] for row in plain),
        "late_choices": [len(choices) for choices in late],
        "plans": {kind: [row["plans"][kind] for row in plain] for kind in PLANS},
        "differ": {" / ".join(pair): _differing(late, *pair) for pair in pairs},
        "differ_without_prior": _differing(cold, *pairs[0]),
        "runs_changed": {change: _changed(runs, change) for change in list(CHANGES)[1:]},
    }


def _late(rows: Sequence[Row]) -> list[list[Row]]:
    return [[c for c in row["choices"] if c["settled"] >= SETTLED] for row in rows]


def _changed(runs: Mapping[tuple[str, int], Row], change: str) -> list[int]:
    """Return how many runs choose otherwise with a change, and of how many."""
    seeds = [seed for name, seed in runs if name == change and (DEFAULT, seed) in runs]
    made = {key: [(c["epoch"], c["chosen"]) for c in row["choices"]] for key, row in runs.items()}
    return [sum(made[change, s] != made[DEFAULT, s] for s in seeds), len(seeds)]


def _differing(late: Sequence[Sequence[Row]], one: str, other: str) -> Mapping[str, Any]:
    """Return the share of choices that differ, and its mean over runs that have any."""
    differ = [[choice[one] != choice[other] for choice in choices] for choices in late if choices]
    found = {"of": sum(map(len, differ)), "are": sum(map(sum, differ))}
    if not differ:
        return found
    shares = {
        "share": rate(found["are"], found["of"]),
        "by_run": bootstrap([statistics.fmean(run) for run in differ]),
    }
    return {**found, **{name: [s.value, s.low, s.high] for name, s in shares.items()}}


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--changes", nargs="+", choices=CHANGES, default=list(CHANGES))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.seeds)
    command = f"python -m experiments.choices --seeds {given.seeds} --first {given.first}"
    cells = Cells(given.out, command)
    wanted: list[Cell] = [(change, seed) for change in given.changes for seed in seeds]
    cells.fill(cell, wanted, given.processes)
    found = table(list(cells.results.values()))
    cells.write(table=found)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
