"""What growth makes of a trained host that learns no more, against larger networks from scratch.

    python -m experiments.trained_hosts

A host of each task of `experiments.sizes` is trained up to half of the budget 1.  From its weights,
four runs go on: `continue` as it is, and three that double its width after their first epoch and
whenever `growth.widen=auto` says so: `shrink_perturb`, `preserving` where the host allows it, and
`restart`, which inherits nothing.  Networks of two and four times the width learn from scratch,
with the budget 1 each; the one with the lower validation loss sets the aim: that loss, and the
FLOPs at which it was reached.  The table gives the FLOPs at which the averaged network of each run
reaches it, relative to those, without those of the trained host: their median, the share of the
rng seeds with at most 60 %, and that of those who never did within the budget 1.

Learning rates are those that `experiments.sizes` tuned, read from its results.  Writes
`experiments/results/trained_hosts.json`.  A stopped command goes on where it was.
"""

import argparse
import contextlib
import io
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from esper.growth.options import AUTO, NEVER, Growth
from esper.policy.rules.growth import WIDEN
from esper.policy.schedule import Schedule
from esper.run.run import run
from esper.rundir.layout import NETWORK
from esper.rundir.records import load_run
from experiments.cells import Cells
from experiments.sizes.__main__ import RESULT as TUNED
from experiments.sizes.fixed import unit
from experiments.sizes.places import TASKS, Place
from experiments.sizes.table import BIRTHS, NORMED
from experiments.stats import rate

RESULT = Path(__file__).parent / "results" / "trained_hosts.json"
LARGER = ("2", "4")
TRAINED_FOR, BUDGET, GOAL = 0.5, 1.0, 0.6
AT_ONCE = (0.01,)
"""A fraction of the budget that the first epoch has passed."""
Curve = list[tuple[float, float]]
"""FLOPs so far and validation loss, for each epoch."""
Row = dict[str, Any]


def curve(
    folder: Path, place: Place, factor: float, lr: float, rng_seed: int, **more: Any
) -> Curve:
    """Return the curve of a run that is written to a folder."""
    budget = f"{more.pop('budget') * unit(place)}FLOPs"
    config = place.config(factor, lr, rng_seed, budget=budget, **more)
    folder.mkdir()
    with contextlib.redirect_stdout(io.StringIO()):
        run(config, folder)
    spent, found = 0.0, []
    for line in load_run(folder).metrics:
        spent += line["flops"]
        found.append((spent, line["val_loss"]))
    return found


def cell(rates: Mapping[str, Mapping[str, float]], task: str, rng_seed: int) -> Row:
    """Return the FLOPs at which each run reached the aim, relative to those of the aim.

    `aim`: the validation loss to reach; `trained`: that of the trained host.
    """
    torch.set_num_threads(1)
    place, lr = Place(task), rates[task]
    never = Growth(widen=NEVER)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        trained = curve(
            folder / "base", place, 1.0, lr["1"], rng_seed, growth=never, budget=TRAINED_FOR
        )
        host = replace(place.model(1.0), weights=str(folder / "base" / NETWORK))
        on = {"model": host, "budget": BUDGET}
        found = {
            "continue": curve(folder / "on", place, 1.0, lr["1"], rng_seed, growth=never, **on)
        }
        for birth in BIRTHS if task not in NORMED else BIRTHS[:2]:
            growth = Growth(widen=AUTO, birth=birth)
            policy = Schedule(adaptation=WIDEN, fractions=AT_ONCE)
            found[birth] = curve(
                folder / birth, place, 1.0, lr[birth], rng_seed, growth=growth, policy=policy, **on
            )
        scratch = [
            curve(
                folder / size, place, float(size), lr[size], rng_seed, growth=never, budget=BUDGET
            )
            for size in LARGER
        ]
    aim, flops = min((loss, flops) for each in scratch for flops, loss in each)
    return {
        "aim": aim,
        "trained": min(loss for _, loss in trained),
        **{name: reached(each, aim, flops) for name, each in found.items()},
    }


def reached(curve: Curve, aim: float, flops: float) -> float | None:
    """Return the share of some FLOPs at which a curve is as low as the aim, None if it never is."""
    return next((spent / flops for spent, loss in curve if loss <= aim), None)


def table_of(rows: Sequence[Row]) -> dict[str, Any]:
    """Return, for each run, its FLOPs relative to the aim's, and how often they met the goal."""
    names = [name for name in rows[0] if name not in ("aim", "trained")]
    shares = {
        name: [math.inf if row[name] is None else row[name] for row in rows] for name in names
    }
    return {
        name: {
            "median": median(own),
            "at most 60 %": str(rate(sum(each <= GOAL for each in own), len(own))),
            "never": sum(math.isinf(each) for each in own),
        }
        for name, own in shares.items()
    }


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--rates", type=Path, default=TUNED, help="results with learning rates")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    rates = json.loads(given.rates.read_text(encoding="utf-8"))["rates"]
    cells = Cells(given.out, f"python -m experiments.trained_hosts --seeds {given.seeds}")
    wanted = [(task, seed) for task in given.tasks for seed in range(given.seeds)]
    rows = dict(zip(wanted, cells.fill(partial(cell, rates), wanted, given.processes), strict=True))
    table = {
        task: table_of([rows[task, seed] for seed in range(given.seeds)]) for task in given.tasks
    }
    cells.write(table=table)
    for task, own in table.items():
        print(task)
        for name, row in own.items():
            print(f"  {name:16}" + "  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
