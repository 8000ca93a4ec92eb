"""Measure which rule keeps useful kernels and culls useless ones, against their true gain.

    python -m experiments.gate_table --seeds 8

Design, named before any run.  A host is trained to a germination epoch of a 40-epoch run and
forked.  On up to two slots, which rotate with the rng seed, every blueprint of `USEFUL` and
`USELESS` that fits is put on trial, alone and in ensembles, under each method of attribution
(`experiments.gate_trials`); its true gain is measured on branches that keep it always and branches
that never had it (`experiments.gate_forks`).  The true gain is that on the test split; the one on
the split for decisions is recorded beside it.  A kernel of an ensemble has the true gain that its
blueprint has alone in that slot.  A kernel is good if its true gain exceeds 3 %; useless ones have
none by construction.

    useless blueprints   noop, frozen_random, and permuted, which reads another sample's input
    rules                `RULES` at the prices `PRICES`; a price is multiplied by the part of a true
                         gain that the method shows, the slope of shown on true gains through zero

Goals: useless kept <= 10 %, true gain kept >= 85 %.  Writes `experiments/results/gate_table.json`,
which holds a row for every trial and method, so that further rules need no further runs.  A stopped
command goes on where it was.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from esper.attribution.options import Attribution
from esper.blueprint import catalogue
from esper.config import RunConfig
from esper.contracts.slot import SlotSpec
from esper.model.resnet import ResNet
from experiments.cells import Cell, Cells
from experiments.gate_forks import Fork, TrueGain
from experiments.gate_kernels import USELESS
from experiments.gate_rules import Rule, split_by, table
from experiments.gate_trials import Options, Row, never, trials
from experiments.tasks import CIFAR, Place

RESULT = Path(__file__).parent / "results" / "gate_table.json"
EPOCHS = 40
EVENT_EPOCHS = (2, 6, 12)
REPEATS = 4
BATCH_NORM = "digits_batch_norm"
TASKS = ("digits", "text", BATCH_NORM)
USEFUL = ("conv", "depthwise", "mlp", "gated_mlp", "affine", "lora", "attention")
ENSEMBLES = (2, 4)
"""Numbers of kernels in one slot; half of them are useless."""

MOST_SLOTS = 2
"""Slots tried for an rng seed; which ones rotates with it."""

PRICES = (0.0, 0.01, 0.02, 0.05)
LOOKS, TWIN_LOOKS = (4, 6, 9), (4, 6)
RULES = (
    Rule("muting", "muting", LOOKS, min_gain=0.005, errors=1.7),
    Rule("muting, 1.4 errors", "muting", LOOKS, min_gain=0.005, errors=1.4),
    Rule("muting, equal bars", "muting", LOOKS, 0.005, 2.0, is_sequential=False),
    Rule("muting, single looks", "muting", LOOKS, 0.005, 2.0, is_pooled=False, is_sequential=False),
    Rule("twin, 2 %", "twin", TWIN_LOOKS, min_gain=0.02, errors=1.7),
    Rule("twin, 0.5 %", "twin", TWIN_LOOKS, min_gain=0.005, errors=1.7),
    Rule("ablation", "ablation", LOOKS, min_gain=0.005, errors=1.7),
)
"""The first of each method is its default."""

NOTHING = {"val": TrueGain(0.0, 0.0), "test": TrueGain(0.0, 0.0)}
"""The true gain of a useless kernel, which is not measured."""

METHODS = ("muting", "twin", "ablation")


def options_of(method: str) -> Options:
    """Return the options of a `Grower` with a method of attribution."""
    return {"attribution": Attribution(method=method, looks=(4, 6, 9))}


def config_of(task: str, rng_seed: int, cifar: Path | None) -> RunConfig:
    """Return the configuration of a task; `digits_batch_norm` has a small residual net."""
    if task == BATCH_NORM:
        model = ResNet(channels=(4, 8), norm="batch")
        return Place("digits", EPOCHS).config(rng_seed, model=model)
    return Place(task, EPOCHS, cifar=cifar).config(rng_seed)


def cell(
    task: str,
    event_epoch: int,
    rng_seed: int,
    *,
    cifar: Path | None = None,
    repeats: int = REPEATS,
    methods: Mapping[str, Options],
) -> list[Row]:
    """Return the rows of a task, an rng seed and a germination epoch, for some of the slots."""
    fork = Fork(config_of(task, rng_seed, cifar), event_epoch, repeats)
    where = {"task": task, "rng_seed": rng_seed, "event_epoch": event_epoch}
    baseline, rows = never(fork), list[Row]()
    slots = fork.host().slots
    for name in some(list(slots), MOST_SLOTS, rng_seed):
        useful, useless = fitting(slots[name].spec)
        gains = {each: fork.true_gain(name, each) for each in useful}
        gains |= dict.fromkeys(useless, NOTHING)
        for kernels in groups(useful, useless, rng_seed):
            for row in trials(fork, baseline, name, kernels, methods):
                true = gains[row["blueprint"]]
                rows.append({**where, **row, "true_gain": true["test"].value, **_plain(true)})
    return rows


def fitting(spec: SlotSpec) -> tuple[list[str], list[str]]:
    """Return the useful and the useless blueprints that fit a slot."""
    site = (spec.kind, spec.placement, spec.in_shape, spec.out_shape)
    useful, useless = (
        [name for name in names if catalogue.get(name).fits(*site)] for names in (USEFUL, USELESS)
    )
    return useful, useless


def groups(
    useful: Sequence[str], useless: Sequence[str], rng_seed: int
) -> Iterator[tuple[str, ...]]:
    """Return the kernels of each trial: every blueprint alone, then the ensembles.

    Which blueprints an ensemble holds rotates with the rng seed.
    """
    yield from ((name,) for name in (*useful, *useless))
    for size in ENSEMBLES:
        half = size // 2
        if len(useful) < half or len(useless) < size - half:
            continue
        yield (*some(useful, half, rng_seed), *some(useless, size - half, rng_seed))


def some(names: Sequence[str], number: int, rng_seed: int) -> list[str]:
    """Return up to `number` of the names, from a start that rotates with the rng seed."""
    return [names[(rng_seed + i) % len(names)] for i in range(min(number, len(names)))]


def tables(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the scores of all rules, over all rows, by task and by number of kernels."""
    single = [row for row in rows if row["ensemble"] == 1]
    return {
        "by_task": _tables(split_by(single, lambda row: str(row["task"])), single),
        "by_ensemble": _tables(split_by(rows, lambda row: str(row["ensemble"])), single),
    }


def shown(found: Mapping[str, Any]) -> Iterator[str]:
    """Return the lines of the printed table."""
    for parts in found.values():
        for part, scores in parts.items():
            yield f"{part}: {_COLUMNS}"
            for each in scores:
                rates = "  ".join(_rate(each[key]) for key in ("useless_kept", "good_kept"))
                keys = ("true_gain_kept", "auc", "shrink", "mean_flops_share", "median_flops_share")
                numbers = "  ".join(_number(each[key]) for key in (*keys, "mean_processor_share"))
                yield f"  {each['rule']:28s} price {each['price']:.2f}  {rates}  {numbers}"


_COLUMNS = "useless kept, good kept, true gain kept, AUC, shrink, FLOPs, median, processor"


def _tables(
    parts: Mapping[str, Sequence[Mapping[str, Any]]], single: Sequence[Row]
) -> dict[str, Any]:
    return {name: table(rows, RULES, PRICES, single) for name, rows in parts.items()}


def _plain(gains: Mapping[str, Any]) -> Row:
    return {"true_gains": {split: asdict(gain) for split, gain in gains.items()}}


def _rate(interval: Sequence[float] | None) -> str:
    if interval is None:
        return f"{'-':18s}"
    value, low, high = interval
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _number(value: float | None) -> str:
    return f"{'-':>7s}" if value is None else f"{value:7.3f}"


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--tasks", nargs="+", choices=(*TASKS, CIFAR))
    parser.add_argument("--events", type=int, nargs="+", default=EVENT_EPOCHS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--cifar", type=Path, help="folder of CIFAR-10")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    possible = TASKS if given.cifar is None else (*TASKS, CIFAR)
    if given.cifar is None:
        print("cifar10 is skipped: --cifar names the folder of the data set")
    tasks = [task for task in given.tasks or possible if task in possible]
    seeds = range(given.first, given.first + given.seeds)
    wanted: list[Cell] = [(t, e, s) for s in seeds for e in given.events for t in tasks]
    command = (
        f"python -m experiments.gate_table --seeds {given.seeds} --first {given.first}"
        f" --tasks {' '.join(tasks)} --events {' '.join(map(str, given.events))}"
        f" --methods {' '.join(given.methods)} --repeats {given.repeats}"
    )
    cells = Cells(given.out, command, {"repeats": given.repeats, "methods": list(given.methods)})
    methods = {method: options_of(method) for method in given.methods}
    run = partial(cell, cifar=given.cifar, repeats=given.repeats, methods=methods)
    cells.fill(run, wanted, given.processes)
    found = tables([row for rows in cells.results.values() for row in rows])
    cells.write(**found)
    print("\n".join(shown(found)))


if __name__ == "__main__":
    main()
