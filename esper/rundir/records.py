"""Read the folder of a run: its state and its records."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from esper.contracts.errors import CheckpointError, DataError
from esper.rundir.layout import (
    CHECKPOINTS,
    COMMAND,
    CONFIG,
    EVENTS,
    HYDRA,
    LEARNING,
    METRICS,
    PAGE,
    SUMMARY,
    TRAIN_POLICY,
)
from esper.rundir.lock import is_locked

_MARKS = (SUMMARY, METRICS, EVENTS, LEARNING, CHECKPOINTS, f"{HYDRA}/{COMMAND}")
_SEED = ("slot", "seed", "blueprint")
_NEEDED = {
    "lifecycle": (*_SEED, "from_stage", "to_stage"),
    "ledger": (*_SEED, "trials", "mean_reward", "standard_error", "reward", "history"),
    "decision": ("decision_kind", "reason"),
    "safety": ("rule", "reason", "decision"),
    "selection": ("slot", "seed", "blueprint", "score", "alternatives", "reason"),
    "plan": ("slot", "changes"),
    "performance": ("slot", "seed"),
    "health": _SEED,
    "reward": ("outcome", "reward"),
    "recovery": ("where", "strategy", "blueprint", "count"),
    "policy_update": ("values",),
}


class RunState(StrEnum):
    """The state of a folder that may hold a run.

    EMPTY: it holds nothing, or does not exist.  FOREIGN: it holds other files only.
    RUNNING: a process trains the run.  INTERRUPTED: the run was stopped or killed.
    FAILED: an error ended it; the summary holds the error.  FINISHED: it was trained to its end.
    """

    EMPTY = "empty"
    FOREIGN = "foreign"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    FINISHED = "finished"


def state_of(run_dir: Path) -> RunState:
    """Return the state of a folder that may hold a run."""
    if not is_run(run_dir):
        is_empty = run_dir.is_dir() and not any(run_dir.iterdir())
        return RunState.EMPTY if is_empty or not run_dir.exists() else RunState.FOREIGN
    # A run removes its summary when it starts, so a run with a summary has ended.
    try:
        status = (load_summary(run_dir) or {}).get("status")
    except DataError:
        status = None  # a torn file: the run was killed while it wrote its summary
    if status in (RunState.FINISHED, RunState.FAILED, RunState.INTERRUPTED):
        return RunState(status)
    return RunState.RUNNING if is_locked(run_dir) else RunState.INTERRUPTED


def is_run(folder: Path) -> bool:
    """Return whether a folder holds a run in any state."""
    return any((folder / mark).exists() for mark in _MARKS)


def is_sweep(folder: Path) -> bool:
    """Return whether a folder holds the jobs of a sweep."""
    return (folder / COMMAND).exists()


def is_report(folder: Path) -> bool:
    """Return whether a folder holds a report and neither a run nor a sweep."""
    return (folder / PAGE).exists() and not is_run(folder) and not is_sweep(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The records of a run.

    state: that of its folder when it was read.
    config: values of config.json.
    metrics, events: lines of metrics.jsonl and events.jsonl, oldest first.
    summary: values of summary.json, None while the run is unfinished.
    """

    path: Path
    state: RunState
    config: dict[str, Any]
    metrics: tuple[dict[str, Any], ...]
    events: tuple[dict[str, Any], ...]
    summary: dict[str, Any] | None

    @property
    def name(self) -> str:
        """Return the run's name and that of its folder."""
        return f"{self.config.get('name') or self.path.parent.name} {self.path.name}"

    @property
    def last_epoch(self) -> int:
        """Return the number of finished epochs."""
        return max((line["epoch"] for line in self.metrics), default=0)

    def of_kind(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the events of some kinds, oldest first."""
        return [event for event in self.events if event["kind"] in kinds]


class NoRunError(DataError):
    """A folder that exists holds no run, or one that ended before it began."""


def load_run(path: Path | str) -> Run:
    """Return the records of a run, without a torn last line if the run is unfinished.

    Raises:
        NoRunError: if the folder has nothing to read.
        DataError: naming the file, and the line, that is missing or broken.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"no run at {folder}: {missing(folder)}")
    if is_sweep(folder):
        raise DataError(f"{folder} is a sweep, not a run; its jobs are {folder}/0 and so on")
    state = state_of(folder)
    if state is RunState.EMPTY:
        raise NoRunError(f"no run at {folder}: the folder is empty")
    if state is RunState.FOREIGN:
        raise NoRunError(f"no run at {folder}: the folder holds no file of a run")
    if is_training(folder):
        problem = f"{folder} is the training of a policy, which has no epochs of a network"
        shown = "its learning curves: esper report" if (folder / LEARNING).exists() else ""
        raise DataError(f"{problem} ({shown or 'its numbers are in summary.json'})")
    summary = load_summary(folder)
    config = load_object(folder / CONFIG)
    if config is None and not (folder / METRICS).exists():
        error = (summary or {}).get("error") or "it was stopped"
        raise NoRunError(f"{folder} holds nothing to read: {state} before it began: {error}")
    if config is None:
        raise DataError(f"{folder} holds no {CONFIG}: the run is of an earlier version of Esper")
    metrics = load_lines(folder / METRICS, _check_metrics, torn=summary is None)
    events = load_lines(folder / EVENTS, _check_event, torn=summary is None)
    return Run(
        path=folder, state=state, config=config, metrics=metrics, events=events, summary=summary
    )


def missing(folder: Path) -> str:
    """Return why a path is no folder, in words."""
    return "it is not a folder" if folder.exists() else "it does not exist"


def load_summary(folder: Path) -> dict[str, Any] | None:
    """Return the values of summary.json, None if there is no such file.

    Raises:
        DataError: if it is broken.
    """
    return load_object(folder / SUMMARY)


def is_training(folder: Path) -> bool:
    """Return whether a folder is one of `esper train-policy`."""
    command = folder / HYDRA / COMMAND
    return command.is_file() and TRAIN_POLICY in command.read_text(encoding="utf-8")


def load_object(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file, None if there is no such file.

    Raises:
        DataError: if the file is broken.
    """
    if not path.exists():
        return None
    try:
        value = json.loads(_read(path))
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: must hold one object, holds a {type(value).__name__}")
    return value


def load_overrides(folder: Path) -> list[str]:
    """Return the overrides of the command that started the run, as `key=value`.

    Raises:
        DataError: if `.hydra/overrides.yaml` is missing or broken.
    """
    path = folder / HYDRA / "overrides.yaml"
    try:
        overrides = yaml.safe_load(_read(path))
    except yaml.YAMLError as error:
        raise DataError(f"{path}: not valid YAML") from error
    if not isinstance(overrides, list):
        raise DataError(f"{path}: must hold a list, holds a {type(overrides).__name__}")
    return [str(override) for override in overrides]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        run_dir = path.parent.parent if path.parent.name == HYDRA else path.parent
        raise DataError(f"{path} is missing: is {run_dir} a run directory?") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def load_lines(
    path: Path, check: Callable[[dict[str, Any]], str | None], *, torn: bool
) -> tuple[dict[str, Any], ...]:
    """Return the records of a JSONL file, in each of which `check` finds no problem.

    `torn` allows, and drops, a half written last line, and takes a missing file as empty.
    """
    if torn and not path.exists():
        return ()
    lines = _read(path).split("\n")
    if torn or not lines[-1]:  # the last line is empty unless it is half written
        lines.pop()
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path} line {number}: not valid JSON") from error
        problem = check(record) if isinstance(record, dict) else "not an object"
        if problem:
            raise DataError(f"{path} line {number}: {problem}")
        records.append(record)
    return tuple(records)


def _check_metrics(record: dict[str, Any]) -> str | None:
    return None if isinstance(record.get("epoch"), int) else "no epoch"


def _check_event(record: dict[str, Any]) -> str | None:
    if not isinstance(record.get("epoch"), int) or not isinstance(record.get("kind"), str):
        return "no epoch or no kind"
    missing = [key for key in _NEEDED.get(record["kind"], ()) if key not in record]
    words = f"{record['kind']} without {', '.join(missing)}"
    return f"{words}: damaged, or of an earlier version of Esper" if missing else None


def cut_back(run_dir: Path, epoch: int) -> list[dict[str, Any]]:
    """Drop lines after `epoch`, and torn ones, from both JSONL files; return those of the metrics.

    A run that is resumed from a checkpoint of `epoch` writes the dropped lines again.

    Raises:
        CheckpointError: if lines of earlier epochs are missing.
    """
    for path in (run_dir / METRICS, run_dir / EVENTS):
        if path.exists():
            lines = path.read_bytes().splitlines(keepends=True)
            other = path.with_suffix(".cut")
            other.write_bytes(b"".join(line for line in lines if _is_up_to(epoch, line)))
            os.replace(other, path)
    path = run_dir / METRICS
    left = list(load_lines(path, _check_metrics, torn=False)) if path.exists() else []
    if [line["epoch"] for line in left] != list(range(1, epoch + 1)):
        raise CheckpointError(f"{path} must hold the lines of epochs 1 to {epoch}: some are gone")
    return left


def _is_up_to(epoch: int, line: bytes) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n") and isinstance(record, dict) and record.get("epoch", 0) <= epoch
