"""Ledgers that lie on the disk: read, merge and forget entries of them.

A ledger is the SQLite file of `store=sqlite`, a JSON export, or the folder of a run: what the run
read at its start, and what it found out itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from esper.contracts.errors import DataError
from esper.contracts.ledger import LedgerEntry
from esper.rundir.layout import CHECKPOINTS, SNAPSHOT
from esper.rundir.records import is_sweep
from esper.store.codec import to_entry
from esper.store.export import Export, read_export, write_export
from esper.store.sqlite import SQLite, change_file, read_file

_MAGIC = b"SQLite format 3\0"
_JSON = ".json"


@dataclass(frozen=True, slots=True)
class Selector:
    """Chooses entries: each condition that is given must hold, and one must be given.

    blueprints, runs: names or paths, of which one must be the entry's.
    before: only entries older than the first one of this run.
    """

    blueprints: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    before: str | None = None

    def __post_init__(self) -> None:
        if not (self.blueprints or self.runs or self.before):
            raise DataError(
                "forget needs a selector: --blueprint, --run or --before (nothing was removed)"
            )

    def choose(self, entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
        """Return the chosen ones of all entries of a ledger, oldest first.

        Raises:
            DataError: if the ledger has no entry of the run `before`.
        """
        return [
            entry
            for entry in entries[: self._end(entries)]
            if (not self.blueprints or entry.blueprint in self.blueprints)
            and (not self.runs or any(_is_of(entry, run) for run in self.runs))
        ]

    def _end(self, entries: Sequence[LedgerEntry]) -> int:
        if self.before is None:
            return len(entries)
        for number, entry in enumerate(entries):
            if _is_of(entry, self.before):
                return number
        raise DataError(f"--before: the ledger has no entry of a run {self.before}")


def read_ledger(path: Path) -> list[LedgerEntry]:
    """Return every entry of a ledger, oldest first.

    Raises:
        EsperError: if it is missing, cannot be read, or is no ledger.
    """
    if path.is_dir():
        return _of_run(path)
    if _is_sqlite(path):
        return read_file(path)
    return _read_json(path).entries


def merge(out: Path, sources: Sequence[Path]) -> tuple[int, int]:
    """Add the entries of all `sources` to `out`; return how many are new, and how many were known.

    A new file is a JSON export if its name ends in `.json`, else an SQLite file.  Of entries with
    the same run and event the first one is kept.

    Raises:
        EsperError: if a source or `out` cannot be used; nothing is written then.
    """
    if out.is_dir() or out.name == SNAPSHOT:
        raise DataError(f"ledger {out} is a run's own record, to which nothing is added")
    read = [entry for source in sources for entry in read_ledger(source)]
    known = {(entry.run, entry.event): entry for entry in read_ledger(out)} if out.exists() else {}
    merged = dict(known)
    for entry in read:
        merged.setdefault((entry.run, entry.event), entry)
    added = list(merged.values())[len(known) :]
    if not out.exists() and out.suffix != _JSON:
        SQLite(str(out)).open().close()
    if out.exists() and _is_sqlite(out):
        change_file(out, added=added)
    else:
        write_export(out, Export(list(merged.values())))
    return len(added), len(read) - len(added)


def forget(path: Path, selector: Selector) -> tuple[list[LedgerEntry], int]:
    """Remove the chosen entries of a file; return them, and the number of those that are left.

    Raises:
        EsperError: if it is missing, no ledger, cannot be written, or is a run's own record.
    """
    if path.is_dir() or path.name == SNAPSHOT:
        raise DataError(f"ledger {path} is a run's own record, from which nothing is removed")
    entries = read_ledger(path)
    chosen = selector.choose(entries)
    keys = {(entry.run, entry.event) for entry in chosen}
    if chosen and _is_sqlite(path):
        change_file(path, removed=keys)
    elif chosen:
        write_export(path, Export([e for e in entries if (e.run, e.event) not in keys]))
    return chosen, len(entries) - len(chosen)


def _is_of(entry: LedgerEntry, run: str) -> bool:
    """Return whether `run` is the key of the entry's run, or a path of its folder."""
    return entry.run in (run, str(Path(run).resolve()))


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except FileNotFoundError as error:
        raise DataError(f"no ledger at {path}: there is no such file or folder") from error
    except OSError as error:
        raise DataError(f"ledger {path} cannot be read: {error.strerror}") from error


def _read_json(path: Path) -> Export:
    where = f"ledger {path}"
    try:
        return read_export(path, where)
    except DataError as error:
        allowed = "an SQLite file, a JSON export or the folder of a run"
        raise DataError(f"{error} (a ledger is {allowed})") from error


def _of_run(folder: Path) -> list[LedgerEntry]:
    """Return what a run read at its start, and the last 1,000 entries of its own."""
    from esper.checkpoint.rotation import CheckpointRotation  # torch

    if is_sweep(folder):
        raise DataError(f"{folder} is a sweep, not a run; its jobs are {folder}/0 and so on")
    newest = CheckpointRotation(folder / CHECKPOINTS).latest()
    path = folder / SNAPSHOT
    if newest is None and not path.exists():
        raise DataError(f"no ledger at {folder}: the folder holds no run that was saved")
    read = read_export(path, str(path)).entries if path.exists() else []
    if newest is None:
        return read
    own = newest.saved.tree["grower"]["settler"]["ledger"]["entries"]
    return [*read, *(to_entry(values, f"the ledger of {folder}") for values in own)]
