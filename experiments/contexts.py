"""Measure what contexts are worth: how well strategies foresee the reward of a trial.

    python -m experiments.contexts --seeds 8

Runs choose seeds almost at random, which is fair to every arm, and read the health of slots.  Each
reward is then foreseen from the trials before it: by the arm's mean, by the regression of `linucb`
and `linthompson`, and by the network of `neural`, these two with the context of the run alone
(`run`) and with what health says of the gain (`health`).  The table gives the mean squared error
relative to the variance of rewards, where the ledger holds the run alone (`cold`), and where it
holds the other runs of the task, too (`warm`).

Writes `experiments/results/contexts.json`.  A stopped command goes on where it was.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from esper.contracts.ledger import RUN_CONTEXT, LedgerEntry
from esper.contracts.slot import Placement, SlotKind, SlotSpec
from esper.run.ledger_file import read_ledger
from esper.run.run import run
from esper.store.memory import Memory
from esper.store.prior import NONE
from esper.strategy.base import View
from esper.strategy.ledger import Ledger
from esper.strategy.linthompson import LinThompson
from esper.strategy.reward_scale import SPREAD
from experiments.cells import Cells
from experiments.make_prior import FIRST_SEED
from experiments.tasks import TUNING_SPLIT_SEED, Place, task_names

RESULT = Path(__file__).parent / "results" / "contexts.json"
AT_RANDOM = LinThompson(scale=1e6, first_order_weight=0.0, reads_health=True)
"""Draws so wide that what is known of an arm hardly counts."""
LEAST_KNOWN = 3
"""Rewards that the ledger knows before the first one that is foreseen."""
FORESEERS: Mapping[str, tuple[int, bool]] = {
    "mean": (0, False),
    "regression, run": (RUN_CONTEXT, False),
    "regression, health": (99, False),
    "network, run": (RUN_CONTEXT, True),
    "network, health": (99, True),
}
"""How many numbers of a context are read, and whether a network reads them."""


def cell(task: str, rng_seed: int, epochs: int, cifar: Path | None = None) -> list[dict[str, Any]]:
    """Return the rewarded entries of a run, oldest first."""
    place = Place(task, epochs, TUNING_SPLIT_SEED, cifar)
    config = place.config(rng_seed, strategy=AT_RANDOM, store=Memory(prior=NONE))
    with tempfile.TemporaryDirectory() as folder:
        run(config, Path(folder), "contexts")
        entries = read_ledger(Path(folder))
    return [
        {**asdict(each), "run": f"{task}/{rng_seed}", "features": ()}
        for each in entries
        if each.reward is not None
    ]


def errors(
    run_: Sequence[LedgerEntry], others: Sequence[LedgerEntry], *, numbers: int, is_network: bool
) -> list[float]:
    """Return the squared error of each reward of a run, relative to the variance."""
    first = run_[0]
    ledger = Ledger(first.task_family, first.reward_model)
    ledger.warm_start([_cut(each, numbers) for each in others], first.run)
    found, known = [], len(others)
    for entry in (_cut(each, numbers) for each in run_):
        if known >= LEAST_KNOWN:
            view = View(features=entry.context, is_network=is_network)
            arm = ledger.arm(_spec(entry), entry.seed, entry.blueprint, view=view)
            found.append(((arm.predicted - ledger.unit(entry.reward or 0.0)) / SPREAD) ** 2)
        ledger.record(entry)
        known += 1
    return found


def _cut(entry: LedgerEntry, numbers: int) -> LedgerEntry:
    return replace(entry, context=entry.context[:numbers])


def _spec(entry: LedgerEntry) -> SlotSpec:
    return SlotSpec(
        name=entry.slot,
        kind=SlotKind(entry.slot_kind),
        placement=Placement(entry.placement),
        in_shape=(),
        out_shape=(),
        catalogue=(entry.blueprint,),
    )


def table(runs: Mapping[tuple[str, int], Sequence[LedgerEntry]]) -> dict[str, Any]:
    """Return the mean errors by task, knowledge and foreseer."""
    tasks = dict.fromkeys(task for task, _ in runs)
    return {
        task: {
            knowledge: {
                name: round(fmean(_of_task(runs, task, knowledge == "warm", way)), 3)
                for name, way in FORESEERS.items()
            }
            for knowledge in ("cold", "warm")
        }
        for task in tasks
    }


def _of_task(
    runs: Mapping[tuple[str, int], Sequence[LedgerEntry]],
    task: str,
    is_warm: bool,
    way: tuple[int, bool],
) -> list[float]:
    found: list[float] = []
    for (name, seed), entries in runs.items():
        if name != task or not entries:
            continue
        others = [e for (n, s), own in runs.items() if n == task and s != seed for e in own]
        numbers, is_network = way
        past = others if is_warm else []
        found += errors(entries, past, numbers=numbers, is_network=is_network)
    return found


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--cifar", type=Path, default=None)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    cells = Cells(given.out, f"python -m experiments.contexts --seeds {given.seeds}")
    wanted = [
        (task, seed, given.epochs)
        for seed in range(FIRST_SEED, FIRST_SEED + given.seeds)
        for task in task_names(given.cifar)
    ]
    found = cells.fill(partial(cell, cifar=given.cifar), wanted, given.processes)
    runs = {
        (task, seed): [LedgerEntry.of(values) for values in entries]
        for (task, seed, _), entries in zip(wanted, found, strict=True)
    }
    every = table(runs)
    cells.write(error=every)
    print(json.dumps(every, indent=1))


if __name__ == "__main__":
    main()
