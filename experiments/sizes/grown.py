"""Runs of the product: whose host becomes wider, stopped at each budget, and of fixed sizes."""

import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any

from esper.growth.options import AUTO, NEVER, Growth
from esper.run.run import run
from esper.rundir.records import load_run
from experiments.sizes.fixed import unit
from experiments.sizes.places import BUDGETS, Place

KEPT = (
    "train_flops",
    "processor_s",
    "test_loss",
    "test_accuracy",
    "params_final",
    "width",
    "epochs",
)


def pace(task: str, cifar: str | None, factor: float, rate: float) -> float:
    """Return the processor seconds a FLOP of a run of a fixed size, up to the smallest budget."""
    place = Place(task, cifar)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        budget = f"{BUDGETS[0] * unit(place)}FLOPs"
        config = place.config(factor, rate, 0, growth=Growth(widen=NEVER), budget=budget)
        summary = run(config, Path(folder))
    seconds: float = summary["processor_s"] / summary["train_flops"]
    return seconds


def grown(
    task: str, cifar: str | None, birth: str, rate: float, rng_seed: int, most: float
) -> list[dict[str, Any]]:
    """Return what a run has at each budget up to `most`; `processor_s` counts no read-out twice."""
    place, found = Place(task, cifar), []
    one = unit(place)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        for budget in [each for each in BUDGETS if each <= most]:
            config = place.config(
                1.0,
                rate,
                rng_seed,
                growth=Growth(widen=AUTO, birth=birth),
                budget=f"{budget * one}FLOPs",
            )
            summary = run(config, Path(folder))
            losses = [line["val_loss"] for line in load_run(folder).metrics]
            kept = {key: summary[key] for key in KEPT}
            found.append({"budget": budget, "val_loss": min(losses), **kept})
    return found
