"""The table of `growth_pays`: every arm with intervals, and its difference to the grown run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.stats import Interval, bootstrap, iqm, probability_of_improvement, stratified

Runs = Sequence[Sequence[Mapping[str, Any]]]
"""Results of every arm, by rng seed."""

_SCORES = ("test_accuracy", "test_loss")
_COSTS = ("params", "epochs", "flops", "processor_s", "peak_memory_mb")


def table(runs: Runs) -> dict[str, Any]:
    """Return the row of every arm of a task.

    `grown_minus_arm` is paired by rng seed.  `probability_of_improvement` is the share of rng seeds
    in which the grown run has the higher accuracy.
    """
    by_arm = _by_arm(runs)
    rows: dict[str, Any] = {}
    for arm, results in by_arm.items():
        row: dict[str, Any] = {}
        for score in _SCORES:
            values = [each[score] for each in results]
            row[score] = {
                "iqm": _plain(bootstrap(values, iqm)),
                "mean": _plain(bootstrap(values)),
                "grown_minus_arm": _plain(bootstrap(_differences(by_arm, arm, score))),
            }
        better = probability_of_improvement(_differences(by_arm, arm, "test_accuracy"))
        row["probability_of_improvement"] = better
        row |= {f"mean_{cost}": _mean([each[cost] for each in results]) for cost in _COSTS}
        rows[arm] = row
    return rows


def pooled(runs_by_task: Mapping[str, Runs]) -> dict[str, Any]:
    """Return the differences to each arm over all tasks, each task with equal weight.

    The bootstrap resamples rng seeds within each task.
    """
    tasks = [_by_arm(runs) for runs in runs_by_task.values()]
    rows: dict[str, Any] = {}
    for arm in dict.fromkeys(arm for task in tasks for arm in task):
        having = [task for task in tasks if arm in task]
        rows[arm] = {
            score: _plain(stratified([_differences(task, arm, score) for task in having]))
            for score in _SCORES
        }
        gains = [_differences(task, arm, "test_accuracy") for task in having]
        better = [probability_of_improvement(each) for each in gains]
        rows[arm]["probability_of_improvement"] = sum(better) / len(better)
    return rows


def shown(found: Mapping[str, Any]) -> Iterator[str]:
    """Return the lines of the printed table."""
    for task, each in found["tasks"].items():
        size = each["best_size"]
        yield f"{task}" if size is None else f"{task} (best size on tuning seeds: x{size:g})"
        yield (
            f"  {'arm':24s} {'accuracy':>8s}  {'grown - arm, points':>22s}  {'P':>4s} {'loss':>7s}"
            f" {'params':>8s} {'epochs':>6s} {'MFLOPs':>8s} {'proc. s':>8s} {'MiB':>6s}"
        )
        yield from (_line(arm, row) for arm, row in each["arms"].items())
    yield "all tasks: grown - arm, points"
    for arm, row in found["all_tasks"].items():
        better = row["probability_of_improvement"]
        yield f"  {arm:24s} {_points(row['test_accuracy']):>22s}  {better:4.2f}"


def _line(arm: str, row: Mapping[str, Any]) -> str:
    accuracy, memory = row["test_accuracy"], row["mean_peak_memory_mb"]
    return (
        f"  {arm:24s} {accuracy['mean'][0]:8.4f}  {_points(accuracy['grown_minus_arm']):>22s}  "
        f"{row['probability_of_improvement']:4.2f} {row['test_loss']['mean'][0]:7.4f} "
        f"{row['mean_params']:8.0f} {row['mean_epochs']:6.0f} {row['mean_flops'] / 1e6:8.0f} "
        f"{row['mean_processor_s']:8.2f} {'?' if memory is None else f'{memory:.0f}':>6s}"
    )


def _points(interval: Sequence[float]) -> str:
    value, low, high = (100 * each for each in interval)
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def _by_arm(runs: Runs) -> dict[str, list[Mapping[str, Any]]]:
    by_arm: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        for each in run:
            by_arm.setdefault(each["arm"], []).append(each)
    return by_arm


def _differences(
    by_arm: Mapping[str, Sequence[Mapping[str, Any]]], arm: str, score: str
) -> list[float]:
    pairs = zip(by_arm["grown"], by_arm[arm], strict=True)
    return [grown[score] - other[score] for grown, other in pairs]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _plain(interval: Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]
