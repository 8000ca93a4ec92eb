"""Judge samples: memory, objects and time must be flat, files and threads constant."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from experiments.soak.flat import drift, spread
from experiments.soak.resources import Sample

HELD = {"memory_mb": 0.01, "objects": 0.01}
TAKEN = {"cpu_ratio": 0.05, "wall_ratio": 0.05}
"""Allowed growth of each series over a whole soak, as a share of its median.

Times are ratios to those of reference work at the same moment, because a machine's speed varies.
"""
SHOWN = ("cpu_ms", "wall_ms")
CONSTANT = ("files", "threads")


def judge(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return the results of a soak; `ok` is true if nothing grows.

    Args:
        samples: one for each unit of work (a run, or many control steps).
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
        "ok": all(steady.values()) and all(each.is_flat for each in drifts.values()),
        "drift": {
            name: {**_rounded(asdict(each)), "flat": each.is_flat} for name, each in drifts.items()
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
