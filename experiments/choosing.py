"""Measure whether choosing pays: the strategy with the shipped prior against other ways to choose.

    python -m experiments.choosing --seeds 20 --cifar FOLDER

Every run is the default one but for how blueprints are chosen:

    shipped      UCB, with the prior that is shipped with the package
    cold         UCB, without it
    random       uniformly, without it
    fixed        seed 0 or none, without it
    first_order  the highest first-order score on offer, without it; `by 1st order` shows that it is
    ledger       as `shipped`, with a ledger that the runs of a sequence share, one after the other

`--conditions` takes `thompson+prior` too: any other strategy with the shipped prior.

The verdict is the test loss at equal cost, paired by rng seed, as `experiments.choosing_table`
defines it; the losses at the end of both runs are beside it.  `better` and `worse` mean that the
interval of the mean logarithm of the ratio of losses excludes 0.  The ledger's runs are compared to
those of `shipped` on the same rng seeds.

Expected gains are compared to the measured ones over the runs of `shipped`, see
`experiments.promised`.

Rng seeds from 100 on are tuning ones, and run on the splits of `split_seed=0`.

Writes `experiments/results/choosing.json` and prints the tables.  A stopped command goes on where
it was; a sequence of the ledger counts as one step.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from esper.config import RunConfig
from esper.options import OPTIONS
from esper.store.memory import Memory
from esper.store.prior import NONE
from esper.store.prior import SHIPPED as PRIOR
from esper.store.sqlite import SQLite
from esper.strategy.fixed import Fixed
from esper.strategy.random import Random
from esper.strategy.ucb import UCB
from experiments.cells import Cell, Cells
from experiments.choosing_table import (
    SHIPPED,
    Row,
    conditions_table,
    ledger_table,
    promises_table,
    shown,
)
from experiments.make_prior import FIRST_SEED
from experiments.measured import measure
from experiments.promised import pairs_of
from experiments.tasks import CIFAR, SPLIT_SEED, TUNING_SPLIT_SEED, Place, task_names
from experiments.watched import watched

RESULT = Path(__file__).parent / "results" / "choosing.json"
TASKS = ("digits", "text", CIFAR)
CONDITIONS = (SHIPPED, "cold", "random", "fixed", "first_order")
LEDGER = "ledger"
WITH_PRIOR = "+prior"
ALONE = 1e9
"""Trials that the first-order score is worth where no reward shall outweigh it."""


def changes_of(condition: str) -> dict[str, Any]:
    """Return what a condition changes of the default configuration.

    Raises:
        ValueError: if it takes the shipped prior and the package has none.
    """
    cold = Memory(prior=NONE)
    match condition:
        case "shipped":
            return {"strategy": UCB(), "store": Memory(prior=PRIOR)}
        case "cold":
            return {"strategy": UCB(), "store": cold}
        case "random":
            return {"strategy": Random(), "store": cold}
        case "fixed":
            return {"strategy": Fixed(), "store": cold}
        case "first_order":
            alone = UCB(exploration_constant=0.0, first_order_weight=ALONE)
            return {"strategy": alone, "store": cold}
    strategy = OPTIONS["strategy"][condition.removesuffix(WITH_PRIOR)]
    return {"strategy": strategy(), "store": Memory(prior=PRIOR)}


def run_cell(
    task: str, epochs: int, condition: str, rng_seed: int, cifar: Path | None = None
) -> Row:
    """Return the row of a run.

    test_loss, test_accuracy, flops: at the end.
    kept: FLOPs spent and test scores, whenever the network to read out became another one.
    choices: for each choice, whether it took the highest first-order score.
    pairs: expected gain, measured gain and its error, of each trial that has both gains.
    """
    config = _place(task, epochs, rng_seed, cifar).config(rng_seed, **changes_of(condition))
    return {"task": task, "condition": condition, "rng_seed": rng_seed, **_run(config)}


def ledger_cell(
    _: str, task: str, epochs: int, first: int, runs: int, cifar: Path | None = None
) -> list[Row]:
    """Return the rows of a sequence of runs that share a ledger, from rng seed `first` on."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        store = SQLite(path=str(Path(folder) / "ledger.db"), prior=PRIOR)
        for rng_seed in range(first, first + runs):
            place = _place(task, epochs, rng_seed, cifar)
            config = place.config(rng_seed, **{**changes_of(SHIPPED), "store": store})
            row = {"task": task, "condition": LEDGER, "rng_seed": rng_seed}
            rows.append({**row, **_run(config)})
    return rows


def _place(task: str, epochs: int, rng_seed: int, cifar: Path | None) -> Place:
    split_seed = TUNING_SPLIT_SEED if rng_seed >= FIRST_SEED else SPLIT_SEED
    return Place(task, epochs, split_seed, cifar)


def _run(config: RunConfig) -> Row:
    with watched(config.data.load().test) as watch:
        run = measure(config)
    summary = run.summary
    spent = list(accumulate(line["flops"] for line in run.lines))
    kept = [asdict(each) for each in watch.kept]
    return {
        **{name: summary[name] for name in ("test_loss", "test_accuracy")},
        "flops": run.flops,
        "trials": summary["seeds_germinated"],
        "fossilized": summary["seeds_fossilized"],
        "entries_read": summary["ledger_entries_read"],
        "processor_s": run.processor_s,
        "kept": {
            "flops": [spent[each["epoch"] - 1] for each in kept],
            **{name: [each[name] for each in kept] for name in ("test_loss", "test_accuracy")},
        },
        "choices": watch.choices,
        "pairs": [list(pair) for pair in pairs_of(run.events)],
    }


def evaluate(cells: Cells, given: argparse.Namespace, tasks: Sequence[str]) -> dict[str, Any]:
    """Run what the file lacks, and return the tables."""
    seeds = range(given.first, given.first + given.seeds)
    firsts = range(given.first, given.first + given.sequences * given.runs, given.runs)
    run = partial(run_cell, cifar=given.cifar)
    wanted: list[Cell] = [
        (task, given.epochs, condition, seed)
        for seed in seeds
        for task in tasks
        for condition in given.conditions
    ]
    rows = cells.fill(run, wanted, given.processes)
    shared = [task for task in given.ledger_tasks if task in tasks]
    wanted = [
        (task, given.epochs, SHIPPED, first + number)
        for task in shared
        for first in firsts
        for number in range(given.runs)
    ]
    alone = cells.fill(run, wanted, given.processes)
    wanted = [
        (LEDGER, task, given.epochs, first, given.runs) for task in shared for first in firsts
    ]
    ledger = partial(ledger_cell, cifar=given.cifar)
    sequences = cells.fill(ledger, wanted, given.processes)
    return {
        "conditions": conditions_table(rows),
        "ledger": ledger_table(sequences, alone),
        "promises": promises_table([row for row in rows if row["condition"] == SHIPPED]),
    }


def parsed() -> argparse.Namespace:
    """Return the checked arguments of the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seeds", type=int, default=20)
    add("--first", type=int, default=0)
    add("--tasks", nargs="+", choices=TASKS, default=TASKS)
    others = [name + WITH_PRIOR for name in OPTIONS["strategy"]]
    add("--conditions", nargs="+", choices=(*CONDITIONS, *others), default=CONDITIONS)
    add("--epochs", type=int, default=40)
    add("--sequences", type=int, default=4, help="of runs that share a ledger; 0 for none")
    add("--runs", type=int, default=10, help="in a sequence, at least 2")
    add("--ledger-tasks", nargs="+", choices=TASKS, default=("digits",))
    add("--cifar", type=Path, help="folder of CIFAR-10")
    add("--processes", type=int, default=2)
    add("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    if given.seeds < 1 or given.sequences < 0 or given.runs < 2:
        parser.error("--seeds must be >= 1, --sequences >= 0, --runs >= 2")
    try:
        for condition in (*given.conditions, *([SHIPPED] if given.sequences else [])):
            changes_of(condition)
    except ValueError as error:
        parser.error(str(error))
    return given


def main() -> None:
    """Measure, write and print."""
    given = parsed()
    possible = task_names(given.cifar)
    tasks = [task for task in given.tasks if task in possible]
    command = (
        f"python -m experiments.choosing --seeds {given.seeds} --first {given.first} "
        f"--tasks {' '.join(tasks)} --conditions {' '.join(given.conditions)} "
        f"--epochs {given.epochs} --sequences {given.sequences} --runs {given.runs} "
        f"--ledger-tasks {' '.join(given.ledger_tasks)}"
    )
    cells = Cells(given.out, command)
    found = evaluate(cells, given, tasks)
    cells.write(**found)
    print("\n".join(shown(found)))


if __name__ == "__main__":
    main()
