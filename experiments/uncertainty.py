"""Does a stated uncertainty tell where a prediction errs, and does safety refuse what is worse?

    python -m experiments.uncertainty

On the held-out tasks of `experiments.slot_choice`, whose runs measured what one blueprint brings in
every slot, each offer gets its two uncertainties: the disagreement of the gain model's members
(`ensemble`), and the spread of the network's rank with dropout (`dropout`).  The table gives their
rank correlation (Spearman) with the error of the predicted gain, over offers and over tasks; how
often the best offer of a state is beyond `safety.max_uncertainty`; and, of these and of the other
best offers, the error and the measured net gain.

Reads `experiments/results/slot_choice.json`, writes `experiments/results/uncertainty.json`.  A
stopped command goes on where it was.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from scipy.stats import spearmanr

from esper.learning.examine import spreads
from esper.policy.gnn import GNN
from esper.run.episodes.task import draw_task
from esper.safety.options import Safety
from experiments.cells import Cells
from experiments.slot_choice import RESULT as MEASURED
from experiments.slot_choice import blueprint_of, observed
from experiments.stats import bootstrap

RESULT = Path(__file__).parent / "results" / "uncertainty.json"
Row = dict[str, float]


def cell(
    index: int, rng_seed: int, measured: Mapping[str, Any], pretrained: str | None
) -> list[Row]:
    """Return a row for each measured slot of a task."""
    torch.set_num_threads(1)
    task = draw_task(index)
    observation = observed(task, rng_seed)[1]
    options = GNN(price=task.price)
    if pretrained is not None:
        options = replace(options, pretrained=pretrained)
    policy = options.build(0)
    blueprint = blueprint_of(index, observation)
    forecasts = [
        each
        for each in policy.every_forecast(observation)
        if each.offer.birth.blueprint == blueprint and each.offer.slot in measured["measured"]
    ]
    situation = policy.situation(observation, forecasts).with_all()
    rows = []
    found_spreads = spreads(policy.judge, situation, range(1, 1 + len(forecasts)))
    for action, each in enumerate(forecasts, start=1):
        found = measured["measured"][each.offer.slot]
        rows.append(
            {
                "error": abs(each.gain - found),
                "net": found - (each.gain - each.net),
                "predicted_net": each.net,
                "ensemble": float(situation.doubts[action - 1]),
                "deviation": each.deviation,
                "dropout": found_spreads[action - 1],
            }
        )
    return rows


def table_of(cells: Sequence[tuple[int, Sequence[Row]]]) -> dict[str, Any]:
    """Return what the uncertainties tell; cells are pairs of a task and its rows."""
    rows = [row for _, own in cells for row in own]
    best = [(task, max(own, key=lambda row: row["predicted_net"])) for task, own in cells]
    fired = [(t, row) for t, row in best if row["ensemble"] > Safety().max_uncertainty]
    quiet = [(t, row) for t, row in best if row["ensemble"] <= Safety().max_uncertainty]
    return {
        "offers": len(rows),
        "states": len(best),
        "rank_correlation": {name: _rank(rows, name) for name in _UNCERTAINTIES},
        "rank_correlation_of_best": {
            name: _rank([row for _, row in best], name) for name in _UNCERTAINTIES
        },
        "fires": len(fired) / len(best),
        "fired": _means(fired),
        "others": _means(quiet),
    }


_UNCERTAINTIES = ("ensemble", "deviation", "dropout")


def _rank(rows: Sequence[Row], name: str) -> float:
    return float(spearmanr([row[name] for row in rows], [row["error"] for row in rows]).statistic)


def _means(rows: Sequence[tuple[int, Row]]) -> dict[str, Any]:
    """Return means with their 95 % intervals over tasks."""
    found: dict[str, Any] = {}
    for key in ("error", "net"):
        by_task: dict[int, list[float]] = {}
        for task, row in rows:
            by_task.setdefault(task, []).append(row[key])
        interval = bootstrap([fmean(values) for values in by_task.values()])
        found[key] = [interval.value, interval.low, interval.high]
    return found


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measured", type=Path, default=MEASURED)
    parser.add_argument("--network", help="files of another network, without their endings")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    former = json.loads(given.measured.read_text(encoding="utf-8"))["cells"]
    known = {}
    for key, values in former.items():
        part, index, *seed = key.split("/")
        if part == "task":
            known[int(index), int(seed[0])] = values
    cells = Cells(given.out, "python -m experiments.uncertainty")
    wanted = [(index, seed) for index, seed in sorted(known)]
    found = cells.fill(
        partial(_known_cell, known=known, pretrained=given.network), wanted, given.processes
    )
    table = table_of([(index, rows) for (index, _), rows in zip(wanted, found, strict=True)])
    cells.write(table=table)
    print(json.dumps(table, indent=1))


def _known_cell(
    index: int, rng_seed: int, known: Mapping[tuple[int, int], Any], pretrained: str | None
) -> list[Row]:
    return cell(index, rng_seed, known[index, rng_seed], pretrained)


if __name__ == "__main__":
    main()
