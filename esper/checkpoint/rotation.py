"""Keep the last two checkpoints and the best one, wherever a process dies while it saves.

A checkpoint is written as `.next`, complete and on the disk.  Then it is linked as `best` if it is
the best one, `last` becomes `previous`, and `.next` becomes `last`.  If the process dies in
between, `.next` is still there, and `tidy` takes these steps again.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esper.checkpoint.format import (
    MANIFEST,
    STATE,
    TENSORS,
    Saved,
    read,
    read_facts,
    sync_folder,
    write,
    write_file,
)
from esper.contracts.errors import CheckpointError

LAST, PREVIOUS, BEST = "last", "previous", "best"
_NEXT, _NEXT_BEST = ".next", ".next-best"
_IS_BEST = "is_best"


@dataclass(frozen=True, slots=True)
class Found:
    """The newest checkpoint that can be used.

    folder: its path.
    saved: what it holds.
    refused: folder name and reason of each newer one that cannot be used.
    """

    folder: Path
    saved: Saved
    refused: tuple[tuple[str, str], ...]


class CheckpointRotation:
    """Writes and finds the checkpoints of one run, in `RUN/checkpoints/`; one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, tree: Any, facts: dict[str, Any], *, is_best: bool) -> int:
        """Save as `last`, and as `best` too if it is; return the size of the files in bytes.

        Args:
            tree: what is to be saved.
            facts: hold at least `epoch`, an int; `is_best` is added to them.
            is_best: whether this is the best network so far.

        Raises:
            TypeError: if the tree holds what cannot be saved.
            OSError: if it cannot be written; the checkpoints from before are as they were.
        """
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            sync_folder(self.folder.parent)
        self.tidy()
        try:
            num_bytes = write(self.folder / _NEXT, tree, {**facts, _IS_BEST: is_best})
        except OSError:
            _remove(self.folder / _NEXT)
            raise
        self._put_in_place()
        return num_bytes

    def candidates(self) -> list[Path]:
        """Return the folders that may hold a complete checkpoint of the run's end, newest first."""
        shown = [self.folder / name for name in (LAST, PREVIOUS)]
        is_complete = (self.folder / _NEXT / MANIFEST).exists()
        hidden = [self.folder / _NEXT] if is_complete else []
        return [*hidden, *(folder for folder in shown if folder.exists())]

    def latest(self) -> Found | None:
        """Return the newest checkpoint whose every byte is as written; None if none was made.

        Raises:
            CheckpointError: if there are some and none of them can be used.
        """
        refused: list[tuple[str, str]] = []
        for folder in self.candidates():
            try:
                return Found(folder, read(folder), tuple(refused))
            except CheckpointError as error:
                refused.append((folder.name, str(error)))
        if refused:
            reasons = "; ".join(reason for _, reason in refused)
            raise CheckpointError(
                f"no checkpoint in {self.folder} can be used: {reasons}; to train anew, remove "
                "that folder and resume again"
            )
        return None

    def discard(self, name: str) -> None:
        """Remove a checkpoint that cannot be used, so that no sound one is removed in its place."""
        _remove(self.folder / name)

    def tidy(self) -> None:
        """Finish an interrupted save, or remove what it left if `.next` was not completed.

        Raises:
            OSError: if a folder cannot be renamed or removed.
        """
        if _is_sound(self.folder / _NEXT):
            self._put_in_place()
        _remove(self.folder / _NEXT)
        _remove(self.folder / _NEXT_BEST)
        if not self._has(LAST) and self._has(PREVIOUS):
            self._rename(PREVIOUS, LAST)

    def _put_in_place(self) -> None:
        """Make `.next` the last, and the best too if it is; each step may be taken again."""
        # The name `.next` must be on the disk before the first older checkpoint is removed.
        sync_folder(self.folder)
        if read_facts(self.folder / _NEXT)[_IS_BEST]:
            self._link_best()
        if self._has(LAST):
            _remove(self.folder / PREVIOUS)
            self._rename(LAST, PREVIOUS)
        self._rename(_NEXT, LAST)
        sync_folder(self.folder)

    def _link_best(self) -> None:
        """Make `.next` the best too, with hard links where the file system has them."""
        folder = self.folder / _NEXT_BEST
        _remove(folder)
        os.mkdir(folder)
        for name in (TENSORS, STATE, MANIFEST):
            _link(self.folder / _NEXT / name, folder / name)
        sync_folder(folder)
        _remove(self.folder / BEST)
        self._rename(_NEXT_BEST, BEST)

    def _has(self, name: str) -> bool:
        return os.path.lexists(self.folder / name)  # a link to nowhere is in the way too

    def _rename(self, source: str, target: str) -> None:
        os.rename(self.folder / source, self.folder / target)


def _is_sound(folder: Path) -> bool:
    try:
        read(folder)
    except CheckpointError:
        return False
    return True


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; where the file system has no links, copy it."""
    try:
        os.link(source, target)
    except OSError:
        write_file(target, source.read_bytes())


def _remove(folder: Path) -> None:
    """Remove a folder if it is there; its manifest first, so that no half of it looks complete.

    A file or a link of that name goes too: it stands where a checkpoint belongs.
    """
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder)
