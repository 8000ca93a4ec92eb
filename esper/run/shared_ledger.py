"""What a run reads from a store that other runs share, and what its summary says about it."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from esper.checkpoint.rotation import CheckpointRotation
from esper.rundir.layout import CHECKPOINTS, SNAPSHOT
from esper.store.base import StoreOption
from esper.store.export import Moment, num_runs, read_export
from esper.store.read_once import ReadOnce
from esper.strategy.ledger import Ledger

_MOMENT = tuple(field.name for field in fields(Moment))


def run_store(option: StoreOption, run_dir: Path, launcher: str | None) -> ReadOnce:
    """Return the store of the run in `run_dir`, which keeps there what it reads."""
    is_saved = bool(CheckpointRotation(run_dir / CHECKPOINTS).candidates())
    return ReadOnce(option, run_dir, str(run_dir.resolve()), launcher, is_saved)


def ledger_facts(run_dir: Path, ledger: Ledger) -> dict[str, Any]:
    """Return `ledger_entries_read` and `ledger_snapshot`, which is None without a store.

    `comparable` are those that count: of the task family and reward model of the run's `ledger`.

    Raises:
        DataError: if the snapshot cannot be read.
    """
    path = run_dir / SNAPSHOT
    if not path.exists():
        return {"ledger_entries_read": 0, "ledger_snapshot": None}
    export = read_export(path, str(path))
    # A snapshot of an earlier version has no moment.
    moment = asdict(export.moment) if export.moment else dict.fromkeys(_MOMENT)
    comparable = sum(map(ledger.is_comparable, export.entries))
    told = {"file": SNAPSHOT, "runs": num_runs(export.entries), "comparable": comparable, **moment}
    return {"ledger_entries_read": len(export.entries), "ledger_snapshot": told}
