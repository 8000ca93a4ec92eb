"""Compare the files of a run with those of an undisturbed one.

These must be equal: every line of `metrics.jsonl` and `events.jsonl` without clock fields, the
bytes of the network, and the results in the summary.  Not compared are events of checkpoints and
recoveries, which report the disturbance itself, and the run's folder, its name in the ledger.
"""

import json
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

Json = dict[str, Any]

BELONGS = (
    ".hydra/*",
    "config.json",
    "metrics.jsonl",
    "events.jsonl",
    "summary.json",
    "network.safetensors",
    "ledger_snapshot.json",
    "checkpoints/last/*",
    "checkpoints/previous/*",
    "checkpoints/best/*",
    "wandb/*",
)
"""Files that a finished run may have."""

PARTS = frozenset({"tensors.safetensors", "state.json", "manifest.json"})
"""The files of each checkpoint."""

DISTURBANCE = frozenset({"checkpoint", "recovery"})
NOT_COMPARED = frozenset(
    {
        "run_dir",
        "recoveries",
        "failures_not_recovered",
        "git_sha",
        "control_fraction",
        "peak_memory_mb",
    }
)
"""Keys of the summary that depend on the disturbance, the place or the process."""


def differences(run: Path, reference: Path) -> list[str]:
    """Return all differences between a finished run and the undisturbed one."""
    return [*orphans(run), *compared(run, reference, COMPARED)]


def compared(run: Path, reference: Path, names: Iterable[str]) -> list[str]:
    """Return the differences between a run and the undisturbed one in the named files."""
    return [
        f"{name}: {difference}"
        for name in names
        for difference in COMPARED[name](run / name, reference / name)
    ]


def orphans(run: Path) -> list[str]:
    """Return the surplus and the missing files of a finished run."""
    files = [path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()]
    empty = [path for path in run.rglob("*") if path.is_dir() and not any(path.iterdir())]
    problems = [
        f"orphan {name}" for name in files if not any(fnmatch(name, kind) for kind in BELONGS)
    ]
    problems += [f"empty folder {path.relative_to(run).as_posix()}" for path in empty]
    for name in ("last", "previous", "best"):
        folder = run / "checkpoints" / name
        held = {path.name for path in folder.iterdir()} if folder.exists() else set()
        if held != PARTS:
            problems.append(f"checkpoints/{name} holds {sorted(held)}")
    return problems


def lines_of(path: Path) -> list[Json]:
    """Return the lines of a JSONL file; raises `ValueError` when one is torn."""
    text = path.read_text(encoding="utf-8")
    if text and not text.endswith("\n"):
        raise ValueError(f"the last line of {path} is torn")
    return [json.loads(line) for line in text.splitlines()]


def without_clock(record: Any) -> Any:
    """Return nested JSON without clock fields (`time`, `..._ms`, `..._s`) and the run's name."""
    if isinstance(record, list):
        return [without_clock(item) for item in record]
    if not isinstance(record, dict):
        return record
    return {
        key: without_clock(value)
        for key, value in record.items()
        if key not in ("time", "run") and not key.endswith(("_ms", "_s"))
    }


def _unequal_lines(mine: Path, theirs: Path) -> list[str]:
    """Return the first line in which two records differ."""
    ours, others = (
        [without_clock(line) for line in lines_of(path) if line.get("kind") not in DISTURBANCE]
        for path in (mine, theirs)
    )
    if len(ours) != len(others):
        return [f"{len(ours)} lines, undisturbed {len(others)}"]
    for number, pair in enumerate(zip(ours, others, strict=True), start=1):
        if pair[0] != pair[1]:
            return [f"line {number} differs in {', '.join(_unequal_keys(*pair))}"]
    return []


def _unequal_results(mine: Path, theirs: Path) -> list[str]:
    return [f"{key} differs" for key in _unequal_keys(_results(mine), _results(theirs))]


def _unequal_bytes(mine: Path, theirs: Path) -> list[str]:
    return [] if mine.read_bytes() == theirs.read_bytes() else ["other bytes"]


def _unequal_keys(one: Json, other: Json) -> list[str]:
    return [key for key in one | other if one.get(key) != other.get(key)]


def _results(path: Path) -> Json:
    summary: Json = json.loads(path.read_text(encoding="utf-8"))
    kept = {key: value for key, value in summary.items() if key not in NOT_COMPARED}
    results: Json = without_clock(kept)
    return results


COMPARED: dict[str, Callable[[Path, Path], list[str]]] = {
    "metrics.jsonl": _unequal_lines,
    "events.jsonl": _unequal_lines,
    "network.safetensors": _unequal_bytes,
    "summary.json": _unequal_results,
}
"""Function that compares each file."""
