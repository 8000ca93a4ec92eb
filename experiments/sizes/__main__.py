"""Growth of the whole host where neither the right size nor the budget is known.

    python -m experiments.sizes --cifar FOLDER

On each task a host grows from its default size (`growth.widen=auto`), once with what it has learned
(`shrink_perturb`), once computing what it did (`preserving`, where the host allows it), and once
anew at each size (`restart`), which shows what is inherited.  Beside it stand hosts of fixed sizes,
and what can be done with these; see `experiments.sizes.regret`.  All learn at a constant rate, and
are read out by the averaged network of the lowest validation loss; the rate of each size and way of
growing is tuned by validation on two rng seeds of their own, at the budget 1/2.

Writes `experiments/results/sizes.json` and prints the tables.  A stopped command goes on.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.cells import Cells
from experiments.sizes.places import BUDGETS, CIFAR, TASKS
from experiments.sizes.table import Regrets, Table
from experiments.stats import bootstrap, stratified

RESULT = Path(__file__).parents[1] / "results" / "sizes.json"
SEEDS = {"digits": 20, "dense": 20, "text": 8, CIFAR: 8}


def main() -> None:
    """Run what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=(*TASKS, CIFAR), default=None)
    parser.add_argument("--cifar", type=Path, help="folder of the data set")
    parser.add_argument("--seeds", type=int, help="other than the usual number of rng seeds")
    parser.add_argument("--most", type=float, default=BUDGETS[-1], help="largest budget")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    cells = Cells(given.out, "python -m experiments.sizes")
    found: dict[str, Regrets] = {}
    timed: dict[str, Regrets] = {}
    tuned: dict[str, dict[str, float]] = {}
    for task in given.tasks or (*TASKS, *([CIFAR] if given.cifar else [])):
        table = Table(cells, task, given.seeds or SEEDS[task], given)
        rates = tuned[task] = table.tuned()
        print(f"{task}: learning rates {rates}")
        found[task], timed[task] = table.measured(rates)
        show(f"{task}, at equal FLOPs", found[task])
        show(f"{task}, at equal processor time", timed[task])
    cells.write(summary=overall(found), at_equal_time=overall(timed), rates=tuned, regret=found)
    for name, row in cells.record["summary"].items():
        print(f"{name:26}{row['mean']}  worst {row['worst']:.2f}")


def show(what: str, table: Regrets) -> None:
    """Print the regret of every arm, in points, by budget."""
    print(f"{what}: regret in points of accuracy, by budget {', '.join(table)}")
    for name in next(iter(table.values())):
        values = [bootstrap(own[name]) for own in table.values()]
        print(f"  {name:26}" + "".join(f"{each.value:8.2f}" for each in values))


def overall(found: Mapping[str, Regrets]) -> dict[str, Any]:
    """Return, for each arm, the mean regret over tasks and budgets and the worst of them.

    Its difference from the first arm has the interval of a bootstrap within each task and budget.
    """
    groups = [own for table in found.values() for own in table.values()]
    names = [name for name in groups[0] if all(name in own for own in groups)]
    ahead = names[0]
    rows: dict[str, Any] = {}
    for name in names:
        gaps = [np.subtract(own[name], own[ahead]).tolist() for own in groups]
        rows[name] = {
            "mean": str(stratified([own[name] for own in groups])),
            "worst": max(float(np.mean(own[name])) for own in groups),
            f"over {ahead}": str(stratified(gaps)),
        }
    return rows


if __name__ == "__main__":
    main()
