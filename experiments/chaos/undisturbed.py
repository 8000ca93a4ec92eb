"""Make undisturbed runs as references, and count the calls in their regions."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from experiments.chaos.child import run_command
from experiments.chaos.forks import forked
from experiments.chaos.left import lines_of
from experiments.chaos.regions import Census, watch

GROWTH = {"GERMINATED": 3, "CULLED": 1, "FOSSILIZED": 1}
"""Least numbers of moves for a run to be worth disturbing."""


def plain(folder: Path, command: Sequence[str]) -> None:
    """Run a command in `folder`.

    Raises:
        RuntimeError: if it fails, or does not grow enough.
    """
    log = folder.with_suffix(".log")
    code = forked(partial(run_command, [*command, f"hydra.run.dir={folder}"]), log)
    _check(folder, code, log)


def counted(folder: Path, command: Sequence[str]) -> dict[str, list[int]]:
    """Run a command in `folder`; return the calls in each entry of every region.

    Raises:
        RuntimeError: if it fails, or does not grow enough.
    """
    counts, log = folder.with_suffix(".json"), folder.with_suffix(".log")

    def count() -> int:
        census = Census()
        watch(census.around)
        code = run_command([*command, f"hydra.run.dir={folder}"])
        counts.write_text(json.dumps(census.calls))
        return code

    _check(folder, forked(count, log), log)
    calls: dict[str, list[int]] = json.loads(counts.read_text())
    return calls


def _check(folder: Path, code: int, log: Path) -> None:
    if code:
        raise RuntimeError(f"the undisturbed run ended with {code}: {log.read_text()[-2000:]}")
    lacking = _lacking(folder, GROWTH)
    if lacking:
        raise RuntimeError(f"the undisturbed run comes too seldom to {', '.join(lacking)}")


def _lacking(folder: Path, required: Mapping[str, int]) -> list[str]:
    events = lines_of(folder / "events.jsonl")
    moves = Counter(line["to_stage"] for line in events if line["kind"] == "lifecycle")
    return [stage for stage, least in required.items() if moves[stage] < least]
