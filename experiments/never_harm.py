"""Measure whether growing ever harms: grown against never grown, at budgets from 4 to 40 epochs.

    python -m experiments.never_harm --seeds 20

A cell is a task, a budget and an rng seed.  It holds four trainings: with the command's trainer
(`run`) and in the loop of the README (`loop`), each grown by default and with `policy=never`, from
equal weights on equal batches.  Differences are of test accuracy, in points.  A single cell counts
as a loss if it lies more than 3 standard errors under 0, by the pairs of test samples.

Writes `experiments/results/never_harm.json` and prints the table.  A stopped command goes on where
it was, and a further one adds cells to those of the file.
"""

import argparse
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from torch import Tensor

from esper.policy.never import Never
from experiments.cells import Cell, Cells
from experiments.measured import measure
from experiments.own_loop import own_loop
from experiments.stats import bootstrap, rate, stratified
from experiments.tasks import CIFAR, WITHOUT_FILES, Place, task_names
from experiments.trial_costs import trial_shares

RESULT = Path(__file__).parent / "results" / "never_harm.json"
EPOCHS = (4, 5, 6, 8, 10, 12, 20, 40)
LOSS_ERRORS = 3.0
"""Standard errors under 0 at which a single cell counts as a loss."""
MANY_TRIALS, MANY_TRIALS_FROM, COUNTED_AT = 3, 12, 40
WAYS = ("run", "loop")

Row = dict[str, Any]


def cell(task: str, epochs: int, rng_seed: int, cifar: Path | None = None) -> Row:
    """Return the four trainings of a cell and their paired differences."""
    place = Place(task, epochs, cifar=cifar)
    config = place.config(rng_seed)
    runs = [_run(config), _run(place.config(rng_seed, policy=Never()))]
    loops = [own_loop(place, rng_seed), own_loop(place, rng_seed, policy="never")]
    pairs = {way: paired(*both) for way, both in zip(WAYS, (runs, loops), strict=True)}
    return {"task": task, "epochs": epochs, "rng_seed": rng_seed, **pairs}


def paired(grown: Row, never: Row) -> Row:
    """Return both arms' test scores and trials, and the difference with its standard error.

    Differences are in points and are grown minus never.
    """
    value, error = paired_difference(grown["hits_N"], never["hits_N"])
    arms = {"grown": grown, "never": never}
    return {
        **{name: _plain(arm) for name, arm in arms.items()},
        "difference_pp": 100 * value,
        "error_pp": 100 * error,
    }


def paired_difference(one_N: Tensor, other_N: Tensor) -> tuple[float, float]:
    """Return the mean difference over samples and its standard error, in units of the hits."""
    differences_N = (one_N - other_N).double()
    error = float(differences_N.std()) / math.sqrt(len(differences_N))
    return float(differences_N.mean()), error


def is_loss(pair: Row) -> bool:
    """Return whether growing harmed in this cell beyond chance."""
    return bool(pair["difference_pp"] < -LOSS_ERRORS * pair["error_pp"])


def tables(cells: Sequence[Row]) -> dict[str, Any]:
    """Return, for `run` and `loop`, the means by budget, the counts of trials, and every loss."""
    names = ("task", "epochs", "rng_seed")
    return {
        way: _table([{**{name: row[name] for name in names}, **row[way]} for row in cells])
        for way in WAYS
    }


def _table(rows: Sequence[Row]) -> dict[str, Any]:
    budgets: dict[str, Any] = {}
    for epochs in sorted({row["epochs"] for row in rows}):
        by_task: dict[str, list[float]] = {}
        for row in rows:
            if row["epochs"] == epochs:
                by_task.setdefault(row["task"], []).append(row["difference_pp"])
        means = {task: bootstrap(values) for task, values in by_task.items()}
        means["all tasks"] = stratified(list(by_task.values()))
        budgets[str(epochs)] = {name: [m.value, m.low, m.high] for name, m in means.items()}
    return {
        "grown_minus_never_pp": budgets,
        "trials": _trials(rows),
        "losses": [row for row in rows if is_loss(row)],
    }


def _trials(rows: Sequence[Row]) -> dict[str, Any]:
    """Return how many trials runs have: a share with its interval, and medians; None if no run."""
    long = [row["grown"]["trials"] for row in rows if row["epochs"] >= MANY_TRIALS_FROM]
    full = [row["grown"] for row in rows if row["epochs"] == COUNTED_AT]
    shares = [arm["trial_shares"] for arm in full if "trial_shares" in arm]
    many = rate(sum(trials >= MANY_TRIALS for trials in long), len(long)) if long else None
    return {
        f"share_with_{MANY_TRIALS}_or_more_from_{MANY_TRIALS_FROM}_epochs": (
            None if many is None else [many.value, many.low, many.high]
        ),
        f"median_trials_at_{COUNTED_AT}": _median([arm["trials"] for arm in full]),
        f"median_kept_at_{COUNTED_AT}": _median([arm["kept"] for arm in full]),
        f"median_flops_share_of_a_trial_at_{COUNTED_AT}": _median(list(chain(*shares))),
        f"median_flops_share_of_all_trials_at_{COUNTED_AT}": _median([sum(s) for s in shares]),
    }


def shown(found: Mapping[str, Any]) -> Iterator[str]:
    """Return the lines of the printed table."""
    for way, table in found.items():
        yield f"{way}: grown - never, points of test accuracy"
        for epochs, means in table["grown_minus_never_pp"].items():
            parts = [f"{n} {v:+.2f} [{a:+.2f}, {b:+.2f}]" for n, (v, a, b) in means.items()]
            yield f"  {epochs:>3s} epochs  {'  '.join(parts)}"
        for name, value in table["trials"].items():
            yield f"  {name}: {'not measured' if value is None else value}"
        losses = table["losses"]
        yield f"  single losses of more than {LOSS_ERRORS:g} standard errors: {len(losses)}"
        for row in losses:
            difference, error = row["difference_pp"], row["error_pp"]
            where = f"{row['task']}, {row['epochs']} epochs, rng seed {row['rng_seed']}"
            yield f"    {where}: {difference:+.2f} +- {error:.2f}"


def _run(config: Any) -> Row:
    run = measure(config)
    return {
        "hits_N": run.test_hits_N,
        "losses_N": run.test_losses_N,
        "trials": run.summary["seeds_germinated"],
        "kept": run.summary["seeds_fossilized"],
        "trial_shares": trial_shares(run.lines, run.events),
    }


def _plain(arm: Row) -> Row:
    shares = {"trial_shares": arm["trial_shares"]} if "trial_shares" in arm else {}
    return {
        **shares,
        "accuracy": float(arm["hits_N"].mean()),
        "loss": float(arm["losses_N"].mean()),
        "trials": arm["trials"],
        "kept": arm["kept"],
    }


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--epochs", type=int, nargs="+", default=EPOCHS)
    parser.add_argument("--tasks", nargs="+", choices=(*WITHOUT_FILES, CIFAR))
    parser.add_argument("--cifar", type=Path, help="folder of CIFAR-10")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    possible = task_names(given.cifar)
    tasks = [task for task in given.tasks or possible if task in possible]
    seeds = range(given.first, given.first + given.seeds)
    # Short budgets first, and every task of an rng seed, so that a stopped command tells something.
    wanted: list[Cell] = [(t, e, s) for e in given.epochs for s in seeds for t in tasks]
    command = f"python -m experiments.never_harm --seeds {given.seeds} --first {given.first}"
    cells = Cells(given.out, command)
    cells.fill(partial(cell, cifar=given.cifar), wanted, given.processes)
    found = tables(list(cells.results.values()))
    cells.write(**found)
    print("\n".join(shown(found)))


if __name__ == "__main__":
    main()
