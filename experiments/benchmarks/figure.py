"""Figures with their goals: the results of benchmarks, as rows of a JSON file and as a table."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number.

    goal: largest value that is good enough; None if nothing is promised.
    reference: description of what the value is compared with.
    """

    name: str
    value: float
    unit: str
    goal: float | None
    reference: str

    @property
    def ok(self) -> bool | None:
        """True if the goal is reached, None without a goal."""
        return None if self.goal is None else self.value <= self.goal


def row(figure: Figure, command: str) -> dict[str, Any]:
    """Return the row of a figure; `load` is the load average of the machine."""
    return {
        "value": float(f"{figure.value:.4g}"),
        "unit": figure.unit,
        "goal": figure.goal,
        "reference": figure.reference,
        "ok": figure.ok,
        "command": command,
        "load": round(os.getloadavg()[0], 1),
    }


def write(path: Path, rows: Mapping[str, Mapping[str, Any]], replaced: Iterable[str]) -> None:
    """Write rows to the file; old rows of the `replaced` commands are removed."""
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    gone = set(replaced)
    kept = {name: each for name, each in old.items() if each["command"] not in gone}
    merged = dict(sorted({**kept, **rows}.items()))
    path.write_text(json.dumps(merged, indent=2) + "\n", encoding="utf-8")


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the rows as a table."""
    header = ("figure", "value", "goal", "", "reference")
    cells = [header] + [
        (
            name,
            f"{each['value']:g} {each['unit']}",
            "-" if each["goal"] is None else f"<= {each['goal']:g}",
            {True: "ok", False: "MISSED", None: ""}[each["ok"]],
            each["reference"],
        )
        for name, each in rows.items()
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )
