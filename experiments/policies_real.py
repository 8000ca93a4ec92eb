"""Compare policies on real tasks that the family of growth tasks does not hold.

    python -m experiments.policies_real --cifar FOLDER

Each policy runs as shipped, with the default configuration of the task: digits with the default
convolutional host, spirals with a dense one, text with a transformer, and a subset of CIFAR-10.
The gain is ln(test loss of the never-grown run / test loss) of the same rng seed, and the net gain
is less `PRICE` a doubling of the FLOPs of the network that is read out.

Writes `experiments/results/policy_real.json` and prints the table: means over the rng seeds with
the bootstrap's 95 % interval.  A stopped command goes on where it was.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from esper.options import OPTIONS
from experiments.cells import Cells
from experiments.measured import measure
from experiments.stats import bootstrap
from experiments.tasks import Place, task_names

RESULT = Path(__file__).parent / "results" / "policy_real.json"
POLICIES = ("never", "planner", "heuristic", "schedule", "random")
PRICE = 0.05
"""Log loss that a doubling of FLOPs must bring: the planner's default."""


def run_cell(
    task: str, name: str, rng_seed: int, epochs: int, cifar: Path | None = None
) -> dict[str, Any]:
    """Return what a run of a policy came to."""
    place = Place(task, epochs, cifar=cifar)
    run = measure(place.config(rng_seed, policy=OPTIONS["policy"][name]()))
    keys = ("test_loss", "test_accuracy", "final_plain_flops", "seeds_germinated")
    return {
        **{key: run.summary[key] for key in (*keys, "seeds_fossilized")},
        "flops": run.flops,
        "processor_s": run.processor_s,
    }


def table_of(rows: Mapping[tuple[str, str, int], Mapping[str, Any]]) -> dict[str, Any]:
    """Return the means by task and policy."""
    table: dict[str, Any] = {}
    for task in dict.fromkeys(task for task, _, _ in rows):
        table[task] = {
            name: _row(
                [
                    (row, rows[task, "never", s])
                    for (t, n, s), row in rows.items()
                    if (t, n) == (task, name)
                ]
            )
            for name in POLICIES
            if any((t, n) == (task, name) for t, n, _ in rows)
        }
    return table


def _row(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the means of runs of a policy, each beside the never-grown run of its rng seed."""
    gains = [math.log(never["test_loss"] / run["test_loss"]) for run, never in pairs]
    costs = [
        math.log2(run["final_plain_flops"] / never["final_plain_flops"]) for run, never in pairs
    ]
    net = bootstrap([gain - PRICE * cost for gain, cost in zip(gains, costs, strict=True)])
    points = bootstrap(
        [100 * (run["test_accuracy"] - never["test_accuracy"]) for run, never in pairs]
    )
    means = ("flops", "processor_s", "seeds_germinated", "seeds_fossilized")
    return {
        "gain": fmean(gains),
        "net_gain": [net.value, net.low, net.high],
        "points": [points.value, points.low, points.high],
        **{key: fmean(run[key] for run, _ in pairs) for key in means},
    }


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cifar", type=Path, help="folder of CIFAR-10")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    command = f"python -m experiments.policies_real --seeds {given.seeds} --epochs {given.epochs}"
    cells = Cells(given.out, command)
    wanted = [
        (task, name, seed, given.epochs)
        for task in task_names(given.cifar)
        for seed in range(given.first_seed, given.first_seed + given.seeds)
        for name in POLICIES
    ]
    found = cells.fill(partial(run_cell, cifar=given.cifar), wanted, given.processes)
    rows = {cell[:3]: row for cell, row in zip(wanted, found, strict=True)}
    table = table_of(rows)
    cells.write(table=table)
    for task, each in table.items():
        for name, row in each.items():
            net, points = (
                " [{1:+.3f}, {2:+.3f}]".format(*row[key]) for key in ("net_gain", "points")
            )
            print(
                f"{task:8s} {name:10s} net {row['net_gain'][0]:+.3f}{net}  points "
                f"{row['points'][0]:+.2f}{points}  {row['processor_s']:.1f} s, "
                f"{row['seeds_germinated']:.1f} germinated, {row['seeds_fossilized']:.1f} kept"
            )


if __name__ == "__main__":
    main()
