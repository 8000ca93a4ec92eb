"""Measure whether growth pays on digits: the default host against controls, paired by rng seed.

    python -m experiments.growth_pays --seeds 20

writes `experiments/results/growth_pays.json` and prints the table.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from experiments.arms import compare
from experiments.pool import over_seeds
from experiments.stats import Interval, bootstrap, iqm, probability_of_improvement

RESULT = Path(__file__).parent / "results" / "growth_pays.json"


def table(runs: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Return results of each arm, and the paired difference in test accuracy to the grown one."""
    by_arm: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        for result in run:
            by_arm.setdefault(result["arm"], []).append(result)
    grown = [result["test_accuracy"] for result in by_arm["grown"]]
    rows = {}
    for arm, results in by_arm.items():
        accuracies = [result["test_accuracy"] for result in results]
        differences = [g - a for g, a in zip(grown, accuracies, strict=True)]
        rows[arm] = {
            "accuracy_iqm": _plain(bootstrap(accuracies, iqm)),
            "accuracy_mean": _plain(bootstrap(accuracies)),
            "grown_minus_arm": _plain(bootstrap(differences)),
            "probability_of_improvement": probability_of_improvement(differences),
            "mean_params": sum(r["params"] for r in results) / len(results),
            "mean_epochs": sum(r["epochs"] for r in results) / len(results),
            "mean_flops": sum(r["flops"] for r in results) / len(results),
        }
    return rows


def _plain(interval: Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.seeds)
    runs = over_seeds(compare, seeds)
    rows = table(runs)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    command = f"python -m experiments.growth_pays --seeds {given.seeds} --first {given.first}"
    given.out.write_text(json.dumps({"command": command, "arms": rows, "runs": runs}, indent=1))
    for arm, row in rows.items():
        mean, low, high = row["grown_minus_arm"]
        print(
            f"{arm:20s} accuracy {row['accuracy_mean'][0]:.4f}  grown - arm {mean:+.4f} "
            f"[{low:+.4f}, {high:+.4f}]  params {row['mean_params']:.0f}  "
            f"epochs {row['mean_epochs']:.0f}  GFLOPs {row['mean_flops'] / 1e9:.1f}"
        )


if __name__ == "__main__":
    main()
