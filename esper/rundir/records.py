"""Read a run directory back into values."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from esper.contracts.errors import CheckpointError, DataError
from esper.rundir.layout import COMMAND, EVENTS, METRICS, SUMMARY

_SEED = ("slot", "seed", "blueprint")
_NEEDED = {
    "lifecycle": (*_SEED, "from_stage", "to_stage"),
    "ledger": (*_SEED, "trials", "mean_reward", "reward"),
    "decision": ("decision_kind", "reason"),
    "safety": ("rule", "reason", "decision"),
    "reward": ("outcome", "reward"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run directory holds.

    metrics: the lines of metrics.jsonl, by epoch.
    events: the lines of events.jsonl, oldest first.
    summary: None while the run is unfinished.
    """

    path: Path
    config: dict[str, Any]
    metrics: tuple[dict[str, Any], ...]
    events: tuple[dict[str, Any], ...]
    summary: dict[str, Any] | None

    @property
    def name(self) -> str:
        """Return the run's name and when it started, as far as its folder tells."""
        return f"{self.config.get('name') or self.path.parent.name} {self.path.name}"

    @property
    def last_epoch(self) -> int:
        """Return the number of finished epochs."""
        return max((line["epoch"] for line in self.metrics), default=0)

    def of_kind(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the events of the kinds, oldest first."""
        return [event for event in self.events if event["kind"] in kinds]


def load_run(path: Path | str) -> Run:
    """Return what the run directory `path` holds; a torn last line is left out while it runs.

    Raises:
        DataError: if a file is missing or broken; the text names the file and the line.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DataError(f"no run at {folder}: not a folder")
    if (folder / COMMAND).exists():
        raise DataError(f"{folder} is a sweep, not a run; its jobs are {folder}/0 and so on")
    summary = load_summary(folder)
    return Run(
        path=folder,
        config=_load_yaml(folder / ".hydra" / "config.yaml", dict),
        metrics=_load_lines(folder / METRICS, _check_metrics, torn=summary is None),
        events=_load_lines(folder / EVENTS, _check_event, torn=summary is None),
        summary=summary,
    )


def load_summary(folder: Path) -> dict[str, Any] | None:
    """Return summary.json, None when there is none yet.

    Raises:
        DataError: if it is broken.
    """
    path = folder / SUMMARY
    if not path.exists():
        return None
    try:
        found = json.loads(_read(path))
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: must hold one object, holds a {type(found).__name__}")
    return found


def load_overrides(folder: Path) -> list[str]:
    """Return the overrides that the run was started with, as `key=value`.

    Raises:
        DataError: if `.hydra/overrides.yaml` is missing or broken.
    """
    return [str(item) for item in _load_yaml(folder / ".hydra" / "overrides.yaml", list)]


def is_run(folder: Path) -> bool:
    """Say whether `folder` is a run directory, however far the run came."""
    return (folder / METRICS).exists() or (folder / ".hydra" / "config.yaml").exists()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: is {_run_dir(path)} a run directory?") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _run_dir(path: Path) -> Path:
    return path.parent.parent if path.parent.name == ".hydra" else path.parent


def _load_yaml(path: Path, kind: type[Any]) -> Any:
    try:
        found = yaml.safe_load(_read(path))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark is not None else ""
        raise DataError(f"{path}{where}: not valid YAML") from error
    if not isinstance(found, kind):
        raise DataError(f"{path}: must hold a {kind.__name__}, holds a {type(found).__name__}")
    return found


def _load_lines(path: Path, check: Any, *, torn: bool) -> tuple[dict[str, Any], ...]:
    """Return the records of a JSONL file; `torn` allows its last line to be half written."""
    lines = _read(path).split("\n")
    last = len(lines) - 1
    records = []
    for number, line in enumerate(lines):
        if not line and number == last:
            break
        try:
            record = json.loads(line)
        except ValueError as error:
            if torn and number == last:
                break
            raise DataError(f"{path} line {number + 1}: not valid JSON") from error
        problem = check(record) if isinstance(record, dict) else "not an object"
        if problem:
            raise DataError(f"{path} line {number + 1}: {problem}")
        records.append(record)
    return tuple(records)


def _check_metrics(record: dict[str, Any]) -> str | None:
    return None if isinstance(record.get("epoch"), int) else "no epoch"


def _check_event(record: dict[str, Any]) -> str | None:
    if not isinstance(record.get("epoch"), int) or not isinstance(record.get("kind"), str):
        return "no epoch or no kind"
    missing = [key for key in _NEEDED.get(record["kind"], ()) if key not in record]
    return f"{record['kind']} without {', '.join(missing)}" if missing else None


def cut_back(run_dir: Path, epoch: int) -> None:
    """Drop every line after `epoch` from both files, and every line that is torn.

    A resumed run goes on from its checkpoint and writes those lines again.
    """
    for path in (run_dir / METRICS, run_dir / EVENTS):
        if path.exists():
            lines = path.read_bytes().splitlines(keepends=True)
            other = path.with_suffix(".cut")
            other.write_bytes(b"".join(line for line in lines if _is_up_to(epoch, line)))
            os.replace(other, path)


def finished_lines(run_dir: Path, epoch: int) -> list[dict[str, Any]]:
    """Return the lines of `metrics.jsonl` after `cut_back`: one for each epoch up to `epoch`.

    Raises:
        CheckpointError: if some are missing.
    """
    path = run_dir / METRICS
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = [json.loads(line) for line in text.splitlines()]
    if [line["epoch"] for line in lines] != list(range(1, epoch + 1)):
        raise CheckpointError(f"{path} must hold the lines of epochs 1 to {epoch}: some are gone")
    return lines


def _is_up_to(epoch: int, line: bytes) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n") and isinstance(record, dict) and record.get("epoch", 0) <= epoch
