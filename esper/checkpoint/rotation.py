"""Keep the last two checkpoints and the best one, even if the process dies while it saves.

A checkpoint is first written to the disk as `.next`.  Then it is linked as `best` if it is the
best so far, `last` is renamed to `previous`, and `.next` to `last`.  If the process dies in
between, `.next` still exists, and `tidy` repeats these steps.
"""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esper.checkpoint.format import MANIFEST, Saved, read, sync_folder, write, write_file
from esper.contracts.errors import CheckpointError

LAST, PREVIOUS, BEST = "last", "previous", "best"
_NEXT, _NEXT_BEST = ".next", ".next-best"
_IS_BEST = "is_best"


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest usable checkpoint.

    folder: its path.
    saved: its content.
    refused: folder name and error of each newer checkpoint, none of which is usable.
    """

    folder: Path
    saved: Saved
    refused: tuple[tuple[str, str], ...]


class CheckpointRotation:
    """The checkpoints of one run, in `RUN/checkpoints/`; only one process may write there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, tree: Any, facts: dict[str, Any], *, is_best: bool) -> None:
        """Save a checkpoint as `last`, and also as `best` if it is the best so far.

        Args:
            tree: the values and tensors to save.
            facts: values for the manifest; `is_best` is added to them.
            is_best: whether this is the best network so far.

        Raises:
            TypeError: if the tree holds a value that cannot be saved.
            OSError: if it cannot be written; the earlier checkpoints are unchanged then.
        """
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            sync_folder(self.folder.parent)
        self.tidy()
        try:
            write(self.folder / _NEXT, tree, {**facts, _IS_BEST: is_best})
        except OSError:
            _remove(self.folder / _NEXT)
            raise
        self._put_in_place(is_best=is_best)

    def candidates(self) -> list[Path]:
        """Return the folders from which the run can resume, newest first; nothing is read yet."""
        is_complete = (self.folder / _NEXT / MANIFEST).exists()
        names = (_NEXT, LAST, PREVIOUS) if is_complete else (LAST, PREVIOUS)
        return [self.folder / name for name in names if (self.folder / name).exists()]

    def latest(self) -> Newest | None:
        """Return the newest checkpoint that is read without error; None if there is none at all.

        Raises:
            CheckpointError: if there are checkpoints, but none is usable.
        """
        refused: list[tuple[str, str]] = []
        for folder in self.candidates():
            try:
                return Newest(folder, read(folder), tuple(refused))
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
        """Remove an unusable checkpoint, so that rotation does not drop a sound one instead."""
        _remove(self.folder / name)

    def tidy(self) -> None:
        """Finish an interrupted save, or remove its files if `.next` is incomplete.

        Raises:
            OSError: if a folder cannot be renamed or removed.
        """
        with suppress(CheckpointError):  # of an incomplete or damaged `.next`
            self._put_in_place(is_best=read(self.folder / _NEXT).facts[_IS_BEST])
        _remove(self.folder / _NEXT)
        _remove(self.folder / _NEXT_BEST)
        if not self._has(LAST) and self._has(PREVIOUS):
            self._rename(PREVIOUS, LAST)

    def _put_in_place(self, *, is_best: bool) -> None:
        """Rename `.next` to `last`, and link it as `best` if it is; each step can be repeated."""
        # The name `.next` must be on the disk before an older checkpoint is removed.
        sync_folder(self.folder)
        if is_best:
            self._link_best()
        if self._has(LAST):
            _remove(self.folder / PREVIOUS)
            self._rename(LAST, PREVIOUS)
        self._rename(_NEXT, LAST)
        sync_folder(self.folder)

    def _link_best(self) -> None:
        """Replace `best` by `.next`, with hard links where the file system has them."""
        folder = self.folder / _NEXT_BEST
        _remove(folder)
        os.mkdir(folder)
        for file in (self.folder / _NEXT).iterdir():
            _link(file, folder / file.name)
        sync_folder(folder)
        _remove(self.folder / BEST)
        self._rename(_NEXT_BEST, BEST)

    def _has(self, name: str) -> bool:
        return os.path.lexists(self.folder / name)  # true for a dangling link, which blocks a name

    def _rename(self, source: str, target: str) -> None:
        os.rename(self.folder / source, self.folder / target)


def _link(source: Path, target: Path) -> None:
    """Link a file under a second name, or copy it where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        write_file(target, source.read_bytes())


def _remove(folder: Path) -> None:
    """Remove a folder, or a file or link of that name, if it exists.

    Its manifest is removed first, so that a half removed folder is not taken for a checkpoint.
    """
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder)
