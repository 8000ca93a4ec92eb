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

Times are compared with those of other work at the same moment: a machine by itself can be half as
fast again for minutes.
"""
SHOWN = ("cpu_ms", "wall_ms")
CONSTANT = ("files", "threads")


def judge(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return the results of a soak; `ok` only when nothing in it grows.

    Args:
        samples: one after each unit of work (a run, or many control steps).
    """
    read = {
        name: [float(value) for each in samples if (value := getattr(each, name)) is not None]
        for name in (*HELD, *TAKEN, *CONSTANT, *SHOWN)
    }
    series = {name: values for name, values in read.items() if values}
    drifts = {
        name: drift(series[name], allowed)
        for name, allowed in (HELD | TAKEN).items()
        if name in series
    }
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


def _rounded(values: Mapping[Any, float]) -> dict[Any, float]:
    return {name: float(f"{value:.5g}") for name, value in values.items()}
