"""What `esper doctor --kernels` shows: the verdicts on kernels that are remembered on disk."""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from esper.kernels import disk
from esper.kernels.disk import Entry
from esper.kernels.key import Key, environment

MOST_ENTRIES = 20
"""So many entries are listed; all are counted."""


def show_cache(given: Path | None, *, clear: bool) -> None:
    """Print what is remembered of kernels on disk, the ones used last first; or forget it.

    Args:
        given: `kernels.cache_dir`; the usual folder where it is None.
        clear: remove every entry instead.
    """
    folder = given or disk.default_folder()
    console = Console(soft_wrap=True, highlight=False)
    if clear:
        console.print(f"{_plural(disk.clear(folder), 'entry', 'entries')} removed from {folder}")
        return
    entries = disk.entries(folder)
    faults = [_fault(entry) for entry in entries]
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("blueprint", "version", "slot", "shapes", "dtype", "device", "state"):
        table.add_column(title, overflow="fold")
    for entry, fault in list(zip(entries, faults, strict=True))[:MOST_ENTRIES]:
        table.add_row(*map(escape, _cells(entry.key)), escape(fault or "current"))
    if entries:
        Console().print(table)
    if len(entries) > MOST_ENTRIES:
        console.print(f"These are the {MOST_ENTRIES} used last.")
    size_mb = sum(entry.num_bytes for entry in entries) / 2**20
    counted = {
        "current": sum(fault is None for fault in faults),
        "stale": sum(fault is not None and fault.startswith("stale") for fault in faults),
        "corrupt": sum(fault is not None and fault.startswith("corrupt") for fault in faults),
    }
    told = ", ".join(f"{count} {name}" for name, count in counted.items())
    console.print(f"{_plural(len(entries), 'entry', 'entries')}, {size_mb:.2f} MiB: {told}")
    console.print(f"in {folder}")
    console.print("Stale ones are not read; corrupt ones are found out and made again.")
    where = "" if given is None else f" --folder {given}"
    console.print(f"To forget all: esper doctor --kernels{where} --clear")


def _fault(entry: Entry) -> str | None:
    """Return why an entry is of no use to this installation, None when it is."""
    if entry.key is None:
        return f"corrupt: {entry.problem}"
    now = environment()
    other = [name for name in now if entry.key.get(name) != now[name]]
    return f"stale: another {', '.join(other)}" if other else None


def _cells(key: Key | None) -> tuple[str, ...]:
    if key is None:
        return ("?",) * 6
    return (
        str(key.get("blueprint")),
        str(key.get("version")),
        f"{key.get('kind')} {key.get('placement')}",
        f"{_shape(key.get('in_shape'))} -> {_shape(key.get('out_shape'))}",
        str(key.get("dtype")).removeprefix("torch."),
        str(key.get("device")),
    )


def _shape(sizes: object) -> str:
    return "x".join(map(str, sizes)) if isinstance(sizes, list) else "?"


def _plural(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"
