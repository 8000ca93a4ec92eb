"""From samples to a verdict: memory, objects and time flat, files and threads constant."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from experiments.soak.flat import drift, spread
from experiments.soak.resources import Sample

HELD = {"memory_mb": 0.01, "objects": 0.01}
TAKEN = {"cpu_ratio": 0.05, "wall_ratio": 0.05}
"""How much of its median each series may grow over a whole soak.

Times are taken as multiples of the yardstick's: a machine alone can be half as fast again for
minutes, as it shares its processors or cools them.
"""
SHOWN = ("cpu_ms", "wall_ms")
CONSTANT = ("files", "threads")


def judge(samples: Sequence[Sample], kinds: int = 1) -> dict[str, Any]:
    """Return what a soak says of itself; `ok` only when nothing in it grows.

    Args:
        samples: one after each unit of work (a run, or many control steps).
        kinds: how many kinds of work took turns; times are compared within a kind.
    """
    series = {
        name: [float(getattr(each, name)) for each in samples]
        for name in (*HELD, *TAKEN, *CONSTANT, *SHOWN)
    }
    drifts = {name: drift(series[name], allowed) for name, allowed in HELD.items()}
    for name, allowed in TAKEN.items():
        drifts[name] = drift(_relative(series[name], kinds), allowed)
    steady = {name: spread(series[name]) == 0 for name in CONSTANT}
    return {
        "ok": all(steady.values()) and all(found.is_flat for found in drifts.values()),
        "drift": {
            name: {**_rounded(asdict(found)), "flat": found.is_flat}
            for name, found in drifts.items()
        },
        "constant": steady,
        "median": _rounded({name: statistics.median(values) for name, values in series.items()}),
        "series": {
            name: list(_rounded(dict(enumerate(values))).values())
            for name, values in series.items()
        },
    }


def _relative(values: Sequence[float], kinds: int) -> list[float]:
    """Return values as multiples of the median of their kind."""
    usual = [statistics.median(values[kind::kinds] or [1.0]) for kind in range(kinds)]
    return [value / usual[number % kinds] for number, value in enumerate(values)]


def _rounded(values: Mapping[Any, float]) -> dict[Any, float]:
    return {name: float(f"{value:.5g}") for name, value in values.items()}
