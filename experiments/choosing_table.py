"""The tables of `choosing`: runs at equal cost, and a kept ledger against none.

Equal cost: of two runs, each has the test scores of the network that it would have read out once it
had spent the FLOPs of the cheaper one as a whole.  The cheaper one has its final scores.  The other
one is cut off in its schedule, so that the comparison is hard on whoever spends more.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.promised import Pair, agreement
from experiments.stats import Interval, bootstrap, stratified

SHIPPED = "shipped"
"""The condition that the others are compared to."""

Row = dict[str, Any]
"""A run: see `experiments.choosing.run_cell`."""


def scores_at(row: Row, flops: float) -> tuple[float, float]:
    """Return test loss and accuracy of what a run reads out after at most `flops` FLOPs.

    The first network counts if even that one costs more.
    """
    kept = row["kept"]
    within = [index for index, spent in enumerate(kept["flops"]) if spent <= flops]
    last = max(within, default=0)
    return kept["test_loss"][last], kept["test_accuracy"][last]


def difference(one: Row, other: Row) -> Row:
    """Return the differences of two runs, the first minus the other one.

    log_loss: logarithm of the ratio of the test losses at equal cost.
    accuracy: difference of the test accuracies at equal cost, a fraction.
    final_log_loss, final_accuracy: the same at the end of both runs.
    log_flops: logarithm of the ratio of what the whole runs cost.
    """
    flops = min(one["flops"], other["flops"])
    (loss, accuracy), (other_loss, other_accuracy) = (scores_at(r, flops) for r in (one, other))
    return {
        "log_loss": math.log(loss / other_loss),
        "accuracy": accuracy - other_accuracy,
        "final_log_loss": math.log(one["test_loss"] / other["test_loss"]),
        "final_accuracy": one["test_accuracy"] - other["test_accuracy"],
        "log_flops": math.log(one["flops"] / other["flops"]),
    }


def conditions_table(rows: Sequence[Row]) -> dict[str, Any]:
    """Return, for each task and for all together, `shipped` minus every other condition."""
    runs = {(row["task"], row["condition"], row["rng_seed"]): row for row in rows}
    names = dict.fromkeys(row["condition"] for row in rows)
    found: dict[str, Any] = {}
    by_condition: dict[str, list[list[Row]]] = {}
    for task in dict.fromkeys(row["task"] for row in rows):
        found[task] = {}
        for name in names:
            seeds = [seed for where, what, seed in runs if (where, what) == (task, name)]
            own = [runs[task, name, seed] for seed in seeds]
            paired = [
                difference(runs[task, SHIPPED, seed], runs[task, name, seed])
                for seed in seeds
                if (task, SHIPPED, seed) in runs
            ]
            found[task][name] = {**_means(own), **_differences(paired)}
            if paired:
                by_condition.setdefault(name, []).append(paired)
    everything = {
        name: stratified([[each["log_loss"] for each in task] for task in tasks])
        for name, tasks in by_condition.items()
    }
    return {
        "by_task": found,
        "all_tasks_log_loss": {name: _plain(mean) for name, mean in everything.items()},
    }


def ledger_table(sequences: Sequence[Sequence[Row]], alone: Sequence[Row]) -> dict[str, Any]:
    """Return runs with a shared ledger minus the same ones without, by task.

    Each sequence holds the rows of its runs in order, `alone` those of all of them without.  The
    first run of a sequence finds an empty ledger, so it counts in `first` only.  `mean` is over the
    later ones, each sequence with equal weight; its interval resamples sequences, as those of
    `by_run` do, and is too narrow with few of them.
    """
    runs = {(row["task"], row["rng_seed"]): row for row in alone}
    found: dict[str, Any] = {}
    for task in dict.fromkeys(sequence[0]["task"] for sequence in sequences):
        paired = [
            [difference(row, runs[task, row["rng_seed"]]) for row in sequence]
            for sequence in sequences
            if sequence[0]["task"] == task
        ]
        later = [sequence[1:] for sequence in paired]
        by_run = [
            bootstrap([each["log_loss"] for each in number]) for number in zip(*later, strict=True)
        ]
        means = [statistics.fmean(each["log_loss"] for each in sequence) for sequence in later]
        found[task] = {
            "sequences": len(paired),
            "first": [sequence[0]["final_log_loss"] for sequence in paired],
            "mean": _plain(bootstrap(means)),
            "by_run": {str(k): _plain(mean) for k, mean in enumerate(by_run, start=2)},
            "worse_runs": [k for k, mean in enumerate(by_run, start=2) if mean.low > 0],
        }
    return found


def promises_table(rows: Sequence[Row]) -> dict[str, Any]:
    """Return how well expected gains agree with measured ones, for each task and for all."""
    tasks = dict.fromkeys(row["task"] for row in rows)
    groups = {task: [row for row in rows if row["task"] == task] for task in tasks}
    return {
        name: agreement([[Pair(*pair) for pair in row["pairs"]] for row in own])
        for name, own in {**groups, "all tasks": rows}.items()
    }


def standing(interval: Sequence[float]) -> str:
    """Return whether a difference of losses is a gain, a loss, or neither beyond chance."""
    _, low, high = interval
    return "better" if high < 0 else "worse" if low > 0 else "not worse"


def shown(found: Mapping[str, Any]) -> Iterator[str]:
    """Return the lines of the printed table."""
    yield "shipped - condition at equal cost; a loss of -1 % is 1 % lower with the shipped prior"
    for task, conditions in found["conditions"]["by_task"].items():
        yield (
            f"{task:15s} {'loss':>7s} {'accuracy':>8s} {'GFLOPs':>7s} {'trials':>6s} "
            f"{'proc. s':>7s} {'by 1st order':>12s}  {'loss, %':>23s}  {'accuracy, points':>23s}"
        )
        yield from (_condition_line(name, row) for name, row in conditions.items())
    for name, interval in found["conditions"]["all_tasks_log_loss"].items():
        if name != SHIPPED:
            yield f"all tasks: shipped - {name}: loss {percent(interval)} % {standing(interval)}"
    for task, row in found["ledger"].items():
        first = max(map(abs, row["first"]))
        yield (
            f"ledger, {task}: shared - alone: loss {percent(row['mean'])} % over "
            f"{row['sequences']} sequences: {standing(row['mean'])}; in the first runs at most "
            f"{first:.2g}; worse in the runs {row['worse_runs'] or 'none'}"
        )
    for task, row in found["promises"].items():
        for name in ("pooled", "within"):
            yield f"expected against measured gain, {task}, {name}: {_promise(row[name])}"


def _condition_line(name: str, row: Row) -> str:
    followed = row["by_first_order"]
    line = (
        f"  {name:13s} {row['test_loss']:7.4f} {row['test_accuracy']:8.4f} {row['gflops']:7.1f} "
        f"{row['trials']:6.1f} {row['processor_s']:7.1f} "
        f"{'?' if followed is None else f'{followed:.2f}':>12s}"
    )
    if name == SHIPPED or not row["pairs"]:
        return line
    return (
        f"{line}  {percent(row['log_loss']):>23s}  {percent(row['accuracy'], ratio=False):>23s}"
        f"  {standing(row['log_loss'])}"
    )


def _promise(row: Row) -> str:
    if row["correlation"] is None:
        return f"not determined by {row['pairs']} pairs"
    value, low, high = row["correlation"]
    ceiling = "unknown" if row["ceiling"] is None else f"{row['ceiling']:.2f}"
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}] of {row['pairs']} pairs, ceiling {ceiling}"


def percent(interval: Sequence[float], *, ratio: bool = True) -> str:
    """Return an interval in percent, of the logarithm of a ratio or of a fraction."""
    value, low, high = (100 * (math.expm1(each) if ratio else each) for each in interval)
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def _means(rows: Sequence[Row]) -> Row:
    choices = [taken for row in rows for taken in row["choices"]]
    return {
        "runs": len(rows),
        "test_loss": statistics.fmean(row["test_loss"] for row in rows),
        "test_accuracy": statistics.fmean(row["test_accuracy"] for row in rows),
        "gflops": statistics.fmean(row["flops"] for row in rows) / 1e9,
        "trials": statistics.fmean(row["trials"] for row in rows),
        "fossilized": statistics.fmean(row["fossilized"] for row in rows),
        "processor_s": statistics.fmean(row["processor_s"] for row in rows),
        "choices": len(choices),
        "by_first_order": statistics.fmean(choices) if choices else None,
    }


def _differences(paired: Sequence[Row]) -> Row:
    if not paired:
        return {"pairs": 0}
    means = {name: bootstrap([each[name] for each in paired]) for name in paired[0]}
    return {"pairs": len(paired), **{name: _plain(mean) for name, mean in means.items()}}


def _plain(interval: Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]
