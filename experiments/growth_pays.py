"""Measure whether growth pays: the default grown run against its controls, paired by rng seed.

    python -m experiments.growth_pays --seeds 20 --tune 10

runs the arms that `experiments.arms` lists on every task.  With `--tune N`, the best static size of
each task is chosen first, on the rng seeds 100 to 99 + N and, where data have other partitions, on
another one: the size with the lowest mean decision-validation loss at equal FLOPs.  It is then
reported on the seeds of the evaluation, as the arm `best size`.

With `--arms host` it is compared to the ungrown host alone.

Writes `experiments/results/growth_pays.json` with the table and every run, a figure beside it, and
prints the table.  A stopped command goes on where it was.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from experiments.arms import EQUAL_FLOPS, compare, compare_host, compare_sizes, size_name
from experiments.cells import Cell, Cells
from experiments.growth_table import pooled, shown, table
from experiments.tasks import (
    CIFAR,
    SIZES,
    TUNING_SPLIT_SEED,
    WITHOUT_FILES,
    Place,
    task_names,
)

RESULT = Path(__file__).parent / "results" / "growth_pays.json"
FIRST_TUNING_SEED = 100

Runs = list[list[dict[str, Any]]]


def arms_of(
    task: str, rng_seed: int, *, epochs: int, cifar: Path | None, best: float | None, arms: str
) -> list[dict[str, Any]]:
    """Return the results of the arms of a task for one rng seed."""
    place = Place(task, epochs, cifar=cifar)
    return compare_host(place, rng_seed) if arms == "host" else compare(place, rng_seed, best)


def sizes_of(
    _: str, task: str, rng_seed: int, epochs: int, cifar: Path | None
) -> list[dict[str, Any]]:
    """Return the results of the static sizes of a task for one rng seed, on the tuning splits."""
    return compare_sizes(Place(task, epochs, TUNING_SPLIT_SEED, cifar), rng_seed)


def best_size(runs: Runs) -> float:
    """Return the size with the lowest mean decision-validation loss at equal FLOPs."""

    def mean_loss(size: float) -> float:
        name = size_name(size) + EQUAL_FLOPS
        losses: list[float] = [r["val_loss"] for run in runs for r in run if r["arm"] == name]
        return sum(losses) / len(losses)

    return min(SIZES, key=mean_loss)


def evaluate(cells: Cells, given: argparse.Namespace, tasks: Sequence[str]) -> dict[str, Any]:
    """Run what the file lacks; return the table of each task and of all together."""
    rest = {"epochs": given.epochs, "cifar": given.cifar}
    tables: dict[str, Any] = {}
    all_runs: dict[str, Runs] = {}
    for task in tasks:
        wanted: list[Cell] = [("tuning", task, seed) for seed in tuning_seeds(given)]
        tuned = cells.fill(partial(sizes_of, **rest), wanted, given.processes)
        wanted = [(task, seed) for seed in evaluation_seeds(given)]
        size = best_size(tuned) if tuned else None
        run = partial(arms_of, **rest, best=size, arms=given.arms)
        all_runs[task] = cells.fill(run, wanted, given.processes)
        tables[task] = {"best_size": size, "arms": table(all_runs[task])}
    return {"tasks": tables, "all_tasks": pooled(all_runs)}


def evaluation_seeds(given: argparse.Namespace) -> range:
    """Return the rng seeds that are reported."""
    return range(given.first, given.first + given.seeds)


def tuning_seeds(given: argparse.Namespace) -> range:
    """Return the rng seeds on which the best size is chosen."""
    return range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + given.tune)


def parsed() -> argparse.Namespace:
    """Return the checked arguments of the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--tune", type=int, default=0, help="rng seeds to choose the best size on")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--tasks", nargs="+", choices=(*WITHOUT_FILES, CIFAR))
    parser.add_argument("--cifar", type=Path, help="folder of CIFAR-10")
    parser.add_argument(
        "--arms", default="all", choices=("all", "host"), help="host: the ungrown one alone"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    if given.arms == "host" and given.tune:
        parser.error("--arms host has no best size, so it takes no --tune")
    if given.seeds < 1 or given.tune < 0 or given.epochs < 1:
        parser.error("--seeds and --epochs must be >= 1, --tune >= 0")
    shared = set(evaluation_seeds(given)) & set(tuning_seeds(given))
    if shared:
        parser.error(f"rng seeds to tune and to evaluate on must differ, both have {min(shared)}")
    return given


def main() -> None:
    """Measure, write, draw and print."""
    given = parsed()
    possible = task_names(given.cifar)
    tasks = [task for task in given.tasks or possible if task in possible]
    command = (
        f"python -m experiments.growth_pays --seeds {given.seeds} --first {given.first} "
        f"--tune {given.tune} --epochs {given.epochs} --arms {given.arms} --tasks {' '.join(tasks)}"
    )
    settings = {"epochs": given.epochs, "tune": given.tune, "arms": given.arms}
    cells = Cells(given.out, command, settings)
    found = evaluate(cells, given, tasks)
    cells.write(**found)
    from experiments.growth_figure import draw

    for path in draw(found["tasks"], given.out.with_suffix("")):
        print(f"wrote {path}")
    print("\n".join(shown(found)))


if __name__ == "__main__":
    main()
