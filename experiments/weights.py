"""Measure how many trials a first-order score, and trials in other slots, are worth.

    python -m experiments.weights --seeds 8 --cifar FOLDER

Runs like those of `experiments.make_prior` choose seeds at random, which is fair to every arm.  The
reward of each trial is then foreseen from what was known before it: earlier trials of the arm in
its slot and run, the pool (trials of its blueprint in other slots of the kind and placement, at
most `POOL_WEIGHT` trials), the rank of its first-order score among the kernels measured with it,
and the mean of all, which is worth `MEAN_WEIGHT` trials.  The table gives the mean squared error,
relative to the variance of all rewards, for each pair of weights: where the pool holds the run
alone (`cold`), and where it holds all other runs of the task family too (`warm`).

Writes `experiments/results/weights.json`.  A stopped command goes on where it was.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from esper.contracts.plan import Plan
from esper.run.ledger_file import read_ledger
from esper.run.run import run
from esper.strategy.pooling import Tally
from esper.strategy.prior import first_order_priors
from esper.strategy.reward_scale import SPREAD
from esper.strategy.selector import Selector
from esper.strategy.viability import SelectionInputs
from experiments.cells import Cell, Cells
from experiments.choosers import CHOOSE, choosing_by
from experiments.make_prior import FIRST_SEED, config_of
from experiments.tasks import TUNING_SPLIT_SEED, Place, task_names

RESULT = Path(__file__).parent / "results" / "weights.json"
FIRST_ORDER = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
POOL = (0.5, 1.0, 2.0, 4.0)
MEAN_WEIGHT = 0.3

Trial = dict[str, Any]


def cell(task: str, epochs: int, rng_seed: int, cifar: Path | None = None) -> list[Trial]:
    """Return the trials of a run, oldest first, with the rank of each kernel's score.

    A rank is in standard deviations, 0 in the middle; None if it was not measured with others.
    """
    place = Place(task, epochs, TUNING_SPLIT_SEED, cifar)
    with tempfile.TemporaryDirectory() as folder, ranked() as ranks:
        run(config_of(place, rng_seed), Path(folder), "weights")
        entries = read_ledger(Path(folder))
    found: list[Trial] = []
    for entry in entries:
        slot, seed, _ = entry.event.rsplit("/", 2)
        waiting = ranks.get((slot, int(seed), entry.blueprint), [])
        rank = waiting.pop(0) if waiting else None
        if entry.reward is not None:
            pool = f"{entry.task_family}/{entry.slot_kind}/{entry.placement}/{entry.blueprint}"
            found.append({"slot": slot, "pool": pool, "reward": entry.reward, "rank": rank})
    return found


@contextmanager
def ranked() -> Iterator[dict[tuple[str, int, str], list[float | None]]]:
    """Collect the rank of every kernel that the runs inside the `with` block germinate."""
    ranks: dict[tuple[str, int, str], list[float | None]] = {}

    def choose(selector: Selector, plan: Plan, inputs: SelectionInputs) -> Any:
        filled, selections = CHOOSE(selector, plan, inputs)
        priors = first_order_priors(inputs.first_order, 1.0)
        for seed, blueprint in filled.germinations:
            known = len(priors) > 1 and seed in priors
            rank = (priors[seed].mean - 0.5) / SPREAD if known else None
            ranks.setdefault((plan.slot, seed, blueprint), []).append(rank)
        return filled, selections

    with choosing_by(choose):
        yield ranks


def errors(
    runs: Sequence[Sequence[Trial]], first_order: float, pool: float, *, warm: bool
) -> list[float]:
    """Return the squared error of each reward that is foreseen, relative to the variance."""
    every = [trial["reward"] for trials in runs for trial in trials]
    deviation = statistics.pstdev(every)
    found: list[float] = []
    for number, trials in enumerate(runs):
        families = {each["pool"].split("/")[0] for each in trials}
        past = [
            {**each, "slot": None}
            for other, others in enumerate(runs)
            for each in others
            if warm and other != number and each["pool"].split("/")[0] in families
        ]
        for trial in trials:
            if past:
                foreseen = _foreseen(trial, past, deviation, first_order, pool)
                found.append(((trial["reward"] - foreseen) / deviation) ** 2)
            past.append(trial)
    return found


def _foreseen(
    trial: Trial, past: Sequence[Trial], deviation: float, first_order: float, pool: float
) -> float:
    mean = statistics.fmean(each["reward"] for each in past)
    known, own, others = Tally(), Tally(), Tally()
    known.add(mean, MEAN_WEIGHT)
    for each in past:
        if each["pool"] == trial["pool"]:
            (own if each["slot"] == trial["slot"] else others).add(each["reward"])
    if others.count:
        weight = pool * others.count / (pool + others.count)
        known.add(others.total / others.count, weight)
    if trial["rank"] is not None:
        known.add(mean + trial["rank"] * deviation, first_order)
    known.add_all(own)
    return known.total / known.count


def table(runs: Sequence[Sequence[Trial]]) -> dict[str, Any]:
    """Return the mean errors by the weights of the first-order score and of the pool."""
    return {
        name: {
            f"{first:g} / {pool:g}": round(
                statistics.fmean(errors(runs, first, pool, warm=name == "warm")), 3
            )
            for first in FIRST_ORDER
            for pool in POOL
        }
        for name in ("cold", "warm")
    }


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--cifar", type=Path, default=None)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    cells = Cells(given.out, f"python -m experiments.weights --seeds {given.seeds}")
    wanted: list[Cell] = [
        (task, given.epochs, seed)
        for seed in range(FIRST_SEED, FIRST_SEED + given.seeds)
        for task in task_names(given.cifar)
    ]
    found = table(cells.fill(partial(cell, cifar=given.cifar), wanted, given.processes))
    cells.write(first_order_and_pool=found)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
