"""Count the kinds of change in default runs, and measure what each is worth.

    python -m experiments.adaptations --seeds 20

Runs are compared by `policy.adaptation`: `auto`, which chooses the kind of change by the state of a
slot; `add_neurons` alone; and each other word, which allows that change beside `add_neurons`
(`add_layer` in its place).  Differences to `add_neurons` alone are paired by rng seed, with a
bootstrap over rng seeds; processor seconds are those of epochs (see `experiments.meter`).

A change is asked for by a decision, and made when a kernel germinates by its plan; a removal, when
one is culled, or blends again.

Writes `experiments/results/adaptations.json` and prints the table.  A stopped command goes on where
it was.
"""

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from esper.contracts.decision import SLOT_CHANGES, Adaptation
from esper.policy.heuristic import Heuristic
from esper.policy.rules.growth import AUTO
from experiments.cells import Cell, Cells
from experiments.measured import measure
from experiments.stats import bootstrap
from experiments.tasks import SPLIT_SEED, WITHOUT_FILES, Place

RESULT = Path(__file__).parent / "results" / "adaptations.json"

ALONE = Adaptation.ADD_NEURONS.value
CONDITIONS = (AUTO, *(adaptation.value for adaptation in SLOT_CHANGES))

PLANS = {"diversify": ALONE, "ensemble": "add_layer", "specialize": "remove_neurons"}
"""The change that each kind of plan makes; the plan of a replacement has its name."""

_SCORES = ("test_accuracy", "test_loss", "flops", "processor_s")

Row = dict[str, Any]


def cell(task: str, split_seed: int, condition: str, rng_seed: int) -> Row:
    """Return the scores, the costs and the changes of a default run under a condition."""
    place = Place(task, split_seed=split_seed)
    run = measure(place.config(rng_seed, policy=Heuristic(adaptation=condition)))
    return {
        "task": task,
        "condition": condition,
        "rng_seed": rng_seed,
        "test_accuracy": run.summary["test_accuracy"],
        "test_loss": run.summary["test_loss"],
        "flops": run.flops,
        "processor_s": run.processor_s,
        "asked": count(asked(run.events)),
        "made": count(made(run.events)),
    }


def asked(events: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Return the kind of change of each decision to change a slot."""
    decisions = (event for event in events if event["kind"] == "decision")
    return (each["adaptation"] for each in decisions if each["decision_kind"] == "adapt")


def made(events: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Return the kind of each change that a plan made."""
    plan: Mapping[str, Any] | None = None
    for event in events:
        if event["kind"] == "plan":
            plan = event
        is_of_plan = plan is not None and event["epoch"] == plan["epoch"]
        if plan is None or not is_of_plan or event["kind"] != "lifecycle":
            continue
        kind, stage = plan["plan_kind"], event["to_stage"]
        # Who is left blends again only if it lacks its share.
        if stage in (("BLENDING", "CULLED") if kind == "specialize" else ("GERMINATED",)):
            yield PLANS.get(kind, kind)
            plan = None  # several kernels of a plan are one change


def count(kinds: Iterator[str]) -> dict[str, int]:
    """Return how often each kind of change occurs, those that never do included."""
    found = list(kinds)
    return {adaptation.value: found.count(adaptation.value) for adaptation in SLOT_CHANGES}


def table(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the changes of the runs of `auto`, and what each condition gains, by task."""
    tasks = dict.fromkeys(row["task"] for row in rows)
    return {task: _of_task([row for row in rows if row["task"] == task]) for task in tasks}


def _of_task(rows: Sequence[Row]) -> dict[str, Any]:
    runs = {(row["condition"], row["rng_seed"]): row for row in rows}
    plain = [row for row in rows if row["condition"] == AUTO]
    conditions = dict.fromkeys(row["condition"] for row in rows)
    return {
        "runs_of_auto": len(plain),
        "changes_of_auto": {each.value: _changes(plain, each.value) for each in SLOT_CHANGES},
        "conditions": {each: _condition(runs, each) for each in conditions},
    }


def _changes(rows: Sequence[Row], kind: str) -> dict[str, int]:
    """Return how often a change was asked for and made, and in how many runs it was made."""
    numbers = [row["made"][kind] for row in rows]
    asked_for = sum(row["asked"][kind] for row in rows)
    return {"asked": asked_for, "made": sum(numbers), "runs": sum(each > 0 for each in numbers)}


def _condition(runs: Mapping[tuple[str, int], Row], condition: str) -> dict[str, Any]:
    """Return the mean scores and costs, and their differences to `add_neurons` alone."""
    seeds = [seed for name, seed in runs if name == condition]
    paired = [(runs[condition, s], runs[ALONE, s]) for s in seeds if (ALONE, s) in runs]
    found: dict[str, Any] = {}
    for score in _SCORES:
        found[score] = {"mean": statistics.fmean(runs[condition, seed][score] for seed in seeds)}
        if paired and condition != ALONE:
            interval = bootstrap([one[score] - alone[score] for one, alone in paired])
            found[score]["minus_add_neurons"] = [interval.value, interval.low, interval.high]
    return found


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--tasks", nargs="+", choices=WITHOUT_FILES, default=["digits"])
    parser.add_argument("--split-seed", type=int, default=SPLIT_SEED)
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.seeds)
    command = (
        f"python -m experiments.adaptations --seeds {given.seeds} --first {given.first} "
        f"--tasks {' '.join(given.tasks)} --split-seed {given.split_seed}"
    )
    cells = Cells(given.out, command, {"split_seed": given.split_seed})
    wanted: list[Cell] = [
        (task, given.split_seed, condition, seed)
        for task in given.tasks
        for seed in seeds
        for condition in given.conditions
    ]
    cells.fill(cell, wanted, given.processes)
    found = table(list(cells.results.values()))
    cells.write(table=found)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
