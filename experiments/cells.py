"""Fill a table of independent cells in parallel processes; one that was stopped goes on.

The file holds the command, the commit, the version of torch, and each finished cell's result under
its key.  It is written after each cell.  Results of different commits, versions or settings are
never mixed.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from esper.run.summary import git_sha
from esper.rundir.layout import write_json

Cell = tuple[Any, ...]
"""Plain values that name a cell, such as (task, epochs, rng_seed)."""


def key_of(cell: Cell) -> str:
    """Return the key of a cell in the file."""
    return "/".join(f"{part:g}" if isinstance(part, float) else str(part) for part in cell)


class Cells:
    """The cells of one file.

    settings: what all cells share, beside the commit.
    """

    def __init__(self, path: Path, command: str, settings: Mapping[str, Any] | None = None) -> None:
        self.path = path
        same = {
            "commit": git_sha(),
            "torch": torch.__version__,
            "settings": dict(settings or {}),
        }
        self.record: dict[str, Any] = {"command": command, **same, "cells": {}}
        if path.exists():
            former = json.loads(path.read_text(encoding="utf-8"))
            for key, value in same.items():
                if former.get(key) != value:
                    raise SystemExit(
                        f"{path} holds results of {key} {former.get(key)}, this is {value}: move "
                        "it away, or name another file with --out"
                    )
            self.record["cells"] = former["cells"]

    @property
    def results(self) -> dict[str, Any]:
        """The results by key, those of other cells of the file included."""
        cells: dict[str, Any] = self.record["cells"]
        return cells

    def fill(
        self, function: Callable[..., Any], cells: Iterable[Cell], processes: int = 2
    ) -> list[Any]:
        """Return `function(*cell)` of every cell, in their order; cells of the file are not run.

        Results are JSON values.
        """
        wanted = list(cells)
        missing = [cell for cell in dict.fromkeys(wanted) if key_of(cell) not in self.results]
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            futures = {pool.submit(function, *cell): cell for cell in missing}
            try:
                for number, future in enumerate(as_completed(futures), start=1):
                    self.results[key_of(futures[future])] = future.result()
                    self.write()
                    print(f"{number} of {len(missing)}: {key_of(futures[future])}", flush=True)
            finally:
                pool.shutdown(cancel_futures=True)
        return [self.results[key_of(cell)] for cell in wanted]

    def write(self, **tables: Any) -> None:
        """Write the file, with `tables` computed from the cells before them."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        cells = self.record.pop("cells")
        self.record |= tables
        self.record["cells"] = cells
        write_json(self.path, self.record)
