"""Give random and fixed choices as many epochs as cost the same as runs with the shipped prior.

    python -m experiments.choosing_longer --tasks digits text cifar10 --cifar FOLDER

`experiments.choosing` compares runs of equal epochs at equal cost, and so cuts the dearer one off
in the middle of its schedule.  Here both runs end: a condition whose runs cost less in the mean
runs again, longer by that ratio.  The runs with the shipped prior, and all costs, are those of
`results/choosing_TASK.json`.

Writes `experiments/results/choosing_longer.json` and prints the table: test loss at the end,
shipped minus condition, paired by rng seed.  A stopped command goes on where it was.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from experiments.cells import Cells
from experiments.choosing import CONDITIONS, TASKS, run_cell
from experiments.choosing_table import SHIPPED, Row, difference, percent, standing
from experiments.stats import bootstrap

RESULTS = Path(__file__).parent / "results"
RESULT = RESULTS / "choosing_longer.json"
LONGER = ("random", "fixed")
_SCORES = ("final_log_loss", "final_accuracy", "log_flops")


def base_of(path: Path, task: str) -> tuple[int, dict[str, list[Row]]]:
    """Return the epochs of a file of `experiments.choosing`, and its rows by condition.

    Sequences of a ledger and rng seeds without a row of each condition are left out.

    Raises:
        SystemExit: if it has none.
    """
    cells: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    found = [(key, row) for key, row in cells.items() if isinstance(row, dict)]
    by_run = {(row["condition"], row["rng_seed"]): row for _, row in found if row["task"] == task}
    seeds = sorted({seed for _, seed in by_run})
    full = [seed for seed in seeds if all((each, seed) in by_run for each in CONDITIONS)]
    epochs = {int(key.split("/")[1]) for key, _ in found}
    if not full or len(epochs) != 1:
        raise SystemExit(f"{path}: needs runs of {task} under each condition, of one length")
    return epochs.pop(), {each: [by_run[each, seed] for seed in full] for each in CONDITIONS}


def longer(epochs: int, shipped: Sequence[Row], others: Sequence[Row]) -> int:
    """Return the epochs in which `others` cost what `shipped` do in the mean, at least `epochs`."""
    cost, own = (statistics.fmean(row["flops"] for row in rows) for rows in (shipped, others))
    return max(epochs, round(epochs * cost / own))


def compared(shipped: Sequence[Row], others: Sequence[Row]) -> dict[str, Any]:
    """Return the means of the runs' differences at their ends, as value, low, high."""
    paired = [difference(one, other) for one, other in zip(shipped, others, strict=True)]
    means = {name: bootstrap([each[name] for each in paired]) for name in _SCORES}
    return {name: [mean.value, mean.low, mean.high] for name, mean in means.items()}


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--cifar", type=Path, help="folder of CIFAR-10")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    cells = Cells(
        given.out, f"python -m experiments.choosing_longer --tasks {' '.join(given.tasks)}"
    )
    run = partial(run_cell, cifar=given.cifar)
    found: dict[str, Any] = {}
    for task in given.tasks:
        epochs, base = base_of(RESULTS / f"choosing_{task}.json", task)
        found[task] = {"epochs": epochs}
        for condition in LONGER:
            others = base[condition]
            own_epochs = longer(epochs, base[SHIPPED], others)
            if own_epochs > epochs:
                wanted = [(task, own_epochs, condition, row["rng_seed"]) for row in others]
                others = cells.fill(run, wanted, given.processes)
            found[task][condition] = {"epochs": own_epochs, **compared(base[SHIPPED], others)}
    cells.write(table=found)
    for task in given.tasks:
        for condition in LONGER:
            row = found[task][condition]
            loss, flops = (percent(row[name]) for name in ("final_log_loss", "log_flops"))
            print(
                f"{task}: shipped, {found[task]['epochs']} epochs, minus {condition}, "
                f"{row['epochs']}: loss {loss} % {standing(row['final_log_loss'])}, FLOPs {flops} %"
            )


if __name__ == "__main__":
    main()
