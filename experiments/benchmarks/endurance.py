"""Figures of the long experiments: kills, injected faults, the soak.

They take longer than a benchmark may, so each row is read from the results that its command wrote.
An experiment without results has no rows.
"""

import json
from pathlib import Path
from typing import Any

from experiments.benchmarks.figure import Figure

RESULTS = Path(__file__).parents[1] / "results"


def endurance(results: Path = RESULTS) -> list[Figure]:
    """Return the figures of every long experiment that has results."""
    parts = {"kills.json": _kills, "chaos.json": _faults, "soak.json": _soak}
    return [
        figure
        for name, part in parts.items()
        if (results / name).exists()
        for figure in part(json.loads((results / name).read_text(encoding="utf-8")))
    ]


def _kills(result: dict[str, Any]) -> list[Figure]:
    differing, sweeps = result["runs"] - result["bit_identical"], result["sweeps"]
    broken = sum(bool(sweep["differences"]) for sweep in sweeps)
    return [
        Figure(
            name="kills/runs_that_differ",
            value=differing,
            unit=f"of {result['runs']} runs, {result['kills']} kills",
            goal=0,
            reference=result["command"],
        ),
        _figure(result, "kills/sweeps_that_differ", broken, len(sweeps)),
    ]


def _faults(result: dict[str, Any]) -> list[Figure]:
    rows = result["kinds"]["all"]
    faults = rows["faults"]
    return [
        _figure(result, "faults/lost_runs", rows["lost_runs"], rows["runs"]),
        _figure(result, "faults/wrong_results", rows["wrong_results"], rows["runs"]),
        _figure(result, "faults/misreported", rows["runs_misreported"], rows["runs"]),
        Figure(
            name="faults/not_recovered",
            value=1 - result["recovery_rate"],
            unit=f"of {faults}",
            goal=0.01,
            reference=result["command"],
        ),
    ]


def _soak(result: dict[str, Any]) -> list[Figure]:
    soaks = {name: each for name, each in result.items() if isinstance(each, dict)}
    return [
        Figure(
            name=f"soak/{name}_not_flat",
            value=sum(not drift["flat"] for drift in each["drift"].values())
            + sum(not steady for steady in each["constant"].values()),
            unit=f"of {len(each['drift']) + len(each['constant'])} series",
            goal=0,
            reference=f"{result['command']}: "
            + ", ".join(f"{key} {value}" for key, value in each.items() if type(value) is int),
        )
        for name, each in soaks.items()
    ]


def _figure(result: dict[str, Any], name: str, value: int, count: int) -> Figure:
    return Figure(name=name, value=value, unit=f"of {count}", goal=0, reference=result["command"])
