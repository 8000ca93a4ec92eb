"""Soak of whole runs in one process: 40 epochs of `spirals` each, with growth and culls."""

import contextlib
import io
import shutil
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from esper.attribution.options import Attribution
from esper.config import RunConfig
from esper.data.spirals import Spirals
from esper.growth.options import Growth
from esper.logger.none import NoLogger
from esper.model.mlp import MLP
from esper.options import OPTIONS
from esper.policy.schedule import Schedule
from esper.run.run import run
from experiments.soak.fresh import Span, in_fresh_process
from experiments.soak.judge import judge
from experiments.soak.resources import Sample, measured

STRATEGIES = ("ucb", "thompson", "epsilon_greedy", "performance_weighted")
COMPARED = 5
"""Every `COMPARED` runs, the same run is done in a fresh process; this covers all kinds."""
COUNTS = ("seeds_germinated", "seeds_culled", "seeds_fossilized")


def soak_runs(num_runs: int) -> dict[str, Any]:
    """Do `num_runs` runs; return counts and the verdict on the process."""
    samples: list[Sample] = []
    counts: list[Counter[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(num_runs):
            store = Path(folder) / "ledger.db"
            config = config_of(number, store)
            beside = None if number % COMPARED else partial(_in_fresh_process, number, store)
            summary, sample = measured(partial(_run, config), config.epochs, beside)
            samples.append(sample)
            counts.append(Counter({name: summary[name] for name in COUNTS}))
    return {
        "runs": num_runs,
        **{name: sum(each[name] for each in counts) for name in COUNTS},
        "runs_without_germination": sum(not each["seeds_germinated"] for each in counts),
        "runs_without_cull": sum(not each["seeds_culled"] for each in counts),
        **judge(samples),
    }


def config_of(number: int, store: Path) -> RunConfig:
    """Return the configuration of a run: four kinds in turn, each run with its own rng seed."""
    kind = number % len(STRATEGIES)
    kept = OPTIONS["store"]["sqlite"](path=str(store))
    return RunConfig(
        data=Spirals(),
        model=MLP(),
        policy=Schedule(),
        strategy=OPTIONS["strategy"][STRATEGIES[kind]](),
        growth=Growth(on_cull="twin" if kind == 1 else "remove"),
        attribution=Attribution(method="twin" if kind == 1 else "muting"),
        store=kept if kind == 2 else OPTIONS["store"]["memory"](),
        logger=NoLogger(),
        rng_seed=number,
    )


def _in_fresh_process(number: int, store: Path) -> Span:
    """Return the time of the run in a fresh process, with a copy of the current store."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / store.name
        if store.exists():
            shutil.copyfile(store, copy)
        return in_fresh_process(partial(_run, config_of(number, copy)))


def _run(config: RunConfig) -> dict[str, Any]:
    """Return the summary of a run in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        return run(config, Path(folder))
