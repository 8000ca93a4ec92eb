"""Make the prior that the package ships: what blueprints brought in runs on tuning rng seeds.

    python -m experiments.make_prior --seeds 16

Each run is the default one of its task on the splits of `split_seed=0`, with an rng seed from 100
on, without store and prior.  So no run depends on another, and the same command at the same commit
writes the same file.  Seeds are chosen at random, so that every blueprint is tried, and how often
does not depend on what it brought.  Each trial is judged by every reward model.  Those that begin
in the first `EARLY` of a run count, because gains fall with time, and later choices know rewards of
their own run.  There is a row for each half of a host's slots.

Writes `esper/store/prior.json`, and each finished run's trials to `results/prior_runs.json`, so
that a stopped command goes on where it was.
"""

import argparse
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

import esper
from esper.config import RunConfig
from esper.contracts.ledger import RUN_CONTEXT, LedgerEntry, PoolPrior
from esper.contracts.outcome import GainPoint, Outcome
from esper.contracts.plan import Plan
from esper.grower.settle import event_of
from esper.reward.gain import Gain
from esper.reward.multi_metric import MultiMetric
from esper.reward.sparse import Sparse
from esper.run.config_file import config_values
from esper.run.ledger_file import read_ledger
from esper.run.load import load_run
from esper.run.run import run
from esper.run.summary import git_sha
from esper.store.memory import Memory
from esper.store.pools import summarise
from esper.store.prior import FILE, NONE, write_prior
from esper.strategy.random import Random
from esper.strategy.selector import Selector
from esper.strategy.viability import SelectionInputs
from experiments.cells import Cell, Cells
from experiments.choosers import CHOOSE, choosing_by
from experiments.tasks import TUNING_SPLIT_SEED, WITHOUT_FILES, Place

FIRST_SEED = 100
"""Rng seeds below are those of evidence."""

OUT = Path(esper.__file__).parent / "store" / FILE
RUNS = Path(__file__).parent / "results" / "prior_runs.json"
MODELS = (MultiMetric(), Gain(), Sparse())
EARLY = 0.25
"""Share of the epochs in which the trials begin that count."""

_NAME = "prior"


def config_of(place: Place, rng_seed: int) -> RunConfig:
    """Return the configuration of a run that is fair to every arm."""
    return place.config(rng_seed, strategy=Random(), store=Memory(prior=NONE))


def trials(task: str, epochs: int, rng_seed: int) -> list[dict[str, Any]]:
    """Return the early ledger entries of one run, without what depends on place and clock.

    Each has the further value `is_late`, which is true in the second half of the host's slots.
    """
    config = config_of(Place(task, epochs, TUNING_SPLIT_SEED), rng_seed)
    with tempfile.TemporaryDirectory() as folder, late_slots() as late:
        run(config, Path(folder), _NAME)
        entries = read_ledger(Path(folder))
        outcomes = _outcomes(load_run(Path(folder)).events)
    early = [entry for entry in entries if entry.context[RUN_CONTEXT - 1] <= EARLY]
    found: list[dict[str, Any]] = []
    for model in MODELS:
        key = f"{task}/{rng_seed}/{model.name}"
        for entry in early:
            judged = model.judge(outcomes[entry.event])
            named = replace(entry, run=key, reward_model=model.name, latency_ms=None)
            values = asdict(replace(named, reward=judged.total, weight=judged.weight))
            found.append({**values, "is_late": entry.slot in late})
    return found


@contextmanager
def late_slots() -> Iterator[set[str]]:
    """Collect the slots of a host's second half for which the runs inside the block choose."""
    late: set[str] = set()

    def noting(selector: Selector, plan: Plan, inputs: SelectionInputs) -> Any:
        if inputs.state.spec.is_late:
            late.add(plan.slot)
        return CHOOSE(selector, plan, inputs)

    with choosing_by(noting):
        yield late


def _outcomes(events: Iterable[Mapping[str, Any]]) -> dict[str, Outcome]:
    """Return the last outcome of each activation, by its key in the ledger."""
    outcomes: dict[str, Outcome] = {}
    for event in events:
        if event["kind"] == "reward":
            saved = event["outcome"]
            gains = tuple(GainPoint(**point) for point in saved["gains"])
            outcome = Outcome(**{**saved, "gains": gains})
            outcomes[event_of(outcome)] = outcome
    return outcomes


def rows_of(entries: Iterable[LedgerEntry], *, is_late: bool) -> list[PoolPrior]:
    """Return a row for each pool of which a reward is known, of one half of the slots."""
    return [
        PoolPrior(
            task_family=pool.task_family,
            reward_model=pool.reward_model,
            slot_kind=pool.slot_kind,
            placement=pool.placement,
            blueprint=pool.blueprint,
            trials=pool.rewards,
            mean_reward=pool.mean_reward,
            spread=pool.spread or 0.0,
            mean_gain=pool.mean_gain,
            is_late=is_late,
        )
        for pool in summarise(list(entries))
        if pool.mean_reward is not None
    ]


def make(
    out: Path, found: Mapping[str, Sequence[Mapping[str, Any]]], epochs: int, command: str
) -> list[PoolPrior]:
    """Write the prior of the trials of each task, and return its rows."""
    places = {task: Place(task, epochs, TUNING_SPLIT_SEED) for task in found}
    configs = {task: config_of(place, FIRST_SEED) for task, place in places.items()}
    halves: dict[bool, list[LedgerEntry]] = {False: [], True: []}
    for trial in chain(*found.values()):
        values = {name: value for name, value in trial.items() if name != "is_late"}
        halves[trial["is_late"]].append(LedgerEntry(**values))
    rows = [row for half, own in halves.items() for row in rows_of(own, is_late=half)]
    made = {
        "command": command,
        "esper": esper.__version__,
        "commit": git_sha(),
        "config": {task: config_values(config) for task, config in configs.items()},
    }
    write_prior(out, rows, made)
    return rows


def main() -> None:
    """Run what is missing, and write the prior."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--tasks", nargs="+", choices=WITHOUT_FILES, default=WITHOUT_FILES)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--runs", type=Path, default=RUNS)
    given = parser.parse_args()
    seeds = range(FIRST_SEED, FIRST_SEED + given.seeds)
    command = (
        f"python -m experiments.make_prior --seeds {given.seeds} "
        f"--tasks {' '.join(given.tasks)} --epochs {given.epochs}"
    )
    wanted: list[Cell] = [(task, given.epochs, seed) for seed in seeds for task in given.tasks]
    results = Cells(given.runs, command).fill(trials, wanted, given.processes)
    found: dict[str, list[dict[str, Any]]] = {task: [] for task in given.tasks}
    for (task, *_), values in zip(wanted, results, strict=True):
        found[task] += values
    rows = make(given.out, found, given.epochs, command)
    print(f"{given.out}: {len(rows)} pools of {sum(row.trials for row in rows)} trials")


if __name__ == "__main__":
    main()
