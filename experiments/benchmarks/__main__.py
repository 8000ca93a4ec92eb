"""Measure the figures of all or some sections, and write them to `results.json`.

    python -m experiments.benchmarks [dormant live strategy regret modification kernels ...]

Rows of other sections stay as they are.  `load` is the machine's load average: it does not matter
for ratios, which are measured side by side, but absolute times grow with it.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from experiments.benchmarks import (
    bandits,
    batched,
    compile,
    endurance,
    episodes,
    governor,
    graph,
    kernels,
    learned,
    modification,
    near_best,
    planner,
    price,
    probe,
    regret,
    runs,
    safety,
    signals,
    steps,
)
from experiments.benchmarks.figure import Figure, row, table, write

RESULTS = Path(__file__).parent / "results.json"
SECTIONS: dict[str, Callable[[], list[Figure]]] = {
    "dormant": steps.dormant,
    "live": steps.live,
    "strategy": bandits.bandits,
    "regret": regret.regret,
    "near_best": near_best.near_best,
    "modification": modification.modification,
    "kernels": kernels.kernels,
    "compile": compile.compiled,
    "safety": safety.fuzzed,
    "planner": planner.planned,
    "learned": learned.learned,
    "governor": governor.governor,
    "signals": signals.signals,
    "endurance": endurance.endurance,
    "slots": price.slots,
    "price": price.price,
    "graph": graph.graphs,
    "probe": probe.probes,
    "episodes": episodes.episodes,
    "batched": batched.speed,
    "agreement": batched.agreement,
    "help": runs.helped,
    "runs": runs.default_runs,
}


def measure(
    names: Sequence[str],
    results: Path = RESULTS,
    sections: Mapping[str, Callable[[], list[Figure]]] = SECTIONS,
) -> None:
    """Measure the named sections, or all; write the rows after each section, and print them."""
    unknown = [name for name in names if name not in sections]
    if unknown:
        raise SystemExit(f"error: no section {unknown[0]!r} (allowed: {', '.join(sections)})")
    rows: dict[str, dict[str, Any]] = {}
    for name in names or sections:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        command = f"python -m experiments.benchmarks {name}"
        measured = {figure.name: row(figure, command) for figure in sections[name]()}
        write(results, measured, replaced=[command])
        rows |= measured
    print(table(rows))


if __name__ == "__main__":
    torch.set_num_threads(1)
    measure(sys.argv[1:])
