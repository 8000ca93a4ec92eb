"""Measure how often useless kernels (`noop`, `frozen_random`) are fossilized.

    python -m experiments.controls_lose --seeds 60

writes `experiments/results/controls_lose.json` and prints the rates with their intervals.  The
strategy is `random`, so that all blueprints are tried equally often.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from esper.blueprint.options import Blueprints
from esper.strategy.random import Random
from experiments.measured import measure
from experiments.pool import over_seeds
from experiments.stats import rate
from experiments.tasks import Place

RESULT = Path(__file__).parent / "results" / "controls_lose.json"
PLANTED = Blueprints(names=("conv", "noop", "frozen_random", "depthwise"))


def trials(rng_seed: int) -> list[dict[str, Any]]:
    """Return all settled activations of a run: blueprint, gain, and whether it was fossilized."""
    run = measure(Place("digits").config(rng_seed, blueprint=PLANTED, strategy=Random()))
    outcomes = [event["outcome"] for event in run.events if event["kind"] == "reward"]
    keys = ("slot", "blueprint", "fossilized", "gain", "gain_error", "ablation", "reason")
    return [{"rng_seed": rng_seed, **{key: o[key] for key in keys}} for o in outcomes]


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    settled = [trial for run in over_seeds(trials, range(given.seeds)) for trial in run]
    tried = Counter(trial["blueprint"] for trial in settled)
    kept = Counter(trial["blueprint"] for trial in settled if trial["fossilized"])
    controls = ("noop", "frozen_random")
    groups = {**{name: (name,) for name in tried}, "controls": controls}
    rates = {
        name: rate(sum(kept[n] for n in members), sum(tried[n] for n in members))
        for name, members in groups.items()
        if any(tried[n] for n in members)
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    command = f"python -m experiments.controls_lose --seeds {given.seeds}"
    plain = {name: [r.value, r.low, r.high] for name, r in rates.items()}
    record = {"command": command, "fossilized": plain, "tried": tried, "trials": settled}
    given.out.write_text(json.dumps(record, indent=1))
    for name, share in rates.items():
        number = sum(tried[member] for member in groups[name])
        interval = f"[{share.low:.3f}, {share.high:.3f}]"
        print(f"{name:16s} fossilized {share.value:.3f} {interval} of {number}")


if __name__ == "__main__":
    main()
