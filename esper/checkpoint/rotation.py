"""Keep the last two checkpoints and the best one, so that no moment of death loses them.

A checkpoint is written as `.next`; then `previous` -> `.old`, `last` -> `previous`, `.next` ->
`last`, each by one rename, and `.old` goes.  Whatever was interrupted is finished by `tidy`.
"""

import errno
import math
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
_NEXT, _OLD, _NEXT_BEST, _OLD_BEST = ".next", ".old", ".next-best", ".old-best"
_IS_BEST = "is_best"
_NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK})


@dataclass(frozen=True, slots=True)
class Found:
    """The newest checkpoint that can be used.

    folder: where it lies.
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
        assert isinstance(facts["epoch"], int)
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            sync_folder(self.folder.parent)
        self.tidy()
        try:
            num_bytes = write(self.folder / _NEXT, tree, {**facts, _IS_BEST: is_best})
        except OSError:
            _remove(self.folder / _NEXT)
            raise
        self._rotate()
        if is_best:
            self._crown()
        return num_bytes

    def candidates(self) -> list[Path]:
        """Return the folders that may hold a complete checkpoint of the run's end, newest first.

        Newest is the highest `epoch`, then the one written last.  A folder whose facts cannot be
        read comes first, so that it is not passed over in silence.
        """
        hidden = [self.folder / name for name in (_NEXT, _OLD) if self._is_complete(name)]
        shown = [self.folder / name for name in (LAST, PREVIOUS) if (self.folder / name).exists()]
        written = [_NEXT, LAST, PREVIOUS, _OLD]
        in_time = sorted([*hidden, *shown], key=lambda folder: written.index(folder.name))
        return sorted(in_time, key=_epoch, reverse=True)

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
        """Remove a checkpoint that cannot be used, so that it takes no sound one's place."""
        _remove(self.folder / name)

    def tidy(self) -> None:
        """Finish what an interrupted save began, and remove what is left of it.

        Raises:
            OSError: if a folder cannot be renamed or removed.
        """
        if self._has(_NEXT):
            if _is_sound(self.folder / _NEXT):
                self._rotate()
            else:
                _remove(self.folder / _NEXT)
        self._move_up(PREVIOUS, LAST)
        if self._is_complete(_OLD):
            self._move_up(_OLD, PREVIOUS)
        _remove(self.folder / _OLD)
        _remove(self.folder / _NEXT_BEST)
        self._move_up(_OLD_BEST, BEST)
        _remove(self.folder / _OLD_BEST)
        if self._lacks_its_crown():
            self._crown()

    def _rotate(self) -> None:
        """Make `.next` the last; safe to go on with wherever it was interrupted."""
        if self._has(LAST):
            if self._has(PREVIOUS):
                self._rename(PREVIOUS, _OLD)
            self._rename(LAST, PREVIOUS)
        self._rename(_NEXT, LAST)
        sync_folder(self.folder)
        _remove(self.folder / _OLD)

    def _crown(self) -> None:
        """Make the last the best one too."""
        crowned = self.folder / _NEXT_BEST
        os.mkdir(crowned)
        for name in (TENSORS, STATE, MANIFEST):
            _link(self.folder / LAST / name, crowned / name)
        sync_folder(crowned)
        if self._has(BEST):
            self._rename(BEST, _OLD_BEST)
        self._rename(_NEXT_BEST, BEST)
        sync_folder(self.folder)
        _remove(self.folder / _OLD_BEST)

    def _lacks_its_crown(self) -> bool:
        """Return whether the last was saved as the best, but death came in between."""
        last, best = self.folder / LAST, self.folder / BEST
        try:
            if not read_facts(last).get(_IS_BEST):
                return False
        except CheckpointError:
            return False
        is_crowned = self._is_complete(BEST) and (
            (last / MANIFEST).read_bytes() == (best / MANIFEST).read_bytes()
        )
        return not is_crowned and _is_sound(last)

    def _has(self, name: str) -> bool:
        return os.path.lexists(self.folder / name)  # a link to nowhere is in the way too

    def _is_complete(self, name: str) -> bool:
        return (self.folder / name / MANIFEST).exists()

    def _rename(self, source: str, target: str) -> None:
        os.rename(self.folder / source, self.folder / target)

    def _move_up(self, source: str, target: str) -> None:
        if self._has(source) and not self._has(target):
            self._rename(source, target)


def _epoch(folder: Path) -> float:
    try:
        epoch = read_facts(folder).get("epoch")
    except CheckpointError:
        return math.inf
    return epoch if isinstance(epoch, int) else math.inf


def _is_sound(folder: Path) -> bool:
    try:
        read(folder)
    except CheckpointError:
        return False
    return True


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; where the file system has none, copy it."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
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
