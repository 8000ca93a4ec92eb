import errno
import os
import shutil
from pathlib import Path

import pytest

from esper.checkpoint.format import MANIFEST, STATE, TENSORS, read, write
from esper.checkpoint.rotation import CheckpointRotation
from tests.unit.checkpoint.trees import bits, damage, keeper_of, kept, tree_of


def test_the_last_two_and_the_best_are_kept(tmp_path: Path) -> None:
    keeper = CheckpointRotation(tmp_path / "runs" / "a" / "checkpoints")
    found = []
    for epoch in range(5):
        keeper.save(tree_of(epoch), {"epoch": epoch}, is_best=epoch in (1, 2))
        found.append(kept(keeper))
    assert found == [
        {"last": 0},
        {"last": 1, "previous": 0, "best": 1},
        {"last": 2, "previous": 1, "best": 2},
        {"last": 3, "previous": 2, "best": 2},
        {"last": 4, "previous": 3, "best": 2},
    ]


def test_saving_keeps_the_facts(tmp_path: Path) -> None:
    keeper = CheckpointRotation(tmp_path / "checkpoints")
    keeper.save(tree_of(1), {"epoch": 1, "val_loss": 0.5}, is_best=False)
    facts = {"epoch": 1, "val_loss": 0.5, "is_best": False}
    assert read(keeper.folder / "last").facts == facts


def test_the_new_names_are_on_the_disk_before_an_old_checkpoint_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, rename, rmtree = os.fsync, os.rename, shutil.rmtree

    def synced(descriptor: int) -> None:
        number = os.fstat(descriptor).st_ino
        done.extend(
            f"sync {path.name}" for path in tmp_path.rglob("*") if path.stat().st_ino == number
        )
        fsync(descriptor)

    def renamed(source: Path, target: Path) -> None:
        done.append(f"{source.name} -> {target.name}")
        rename(source, target)

    def removed(folder: Path) -> None:
        done.append(f"remove {folder.name}")
        rmtree(folder)

    keeper = keeper_of(tmp_path / "run", 1, 2)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    monkeypatch.setattr(shutil, "rmtree", removed)
    keeper.save(tree_of(3), {"epoch": 3}, is_best=False)
    assert done[-6:] == [
        "sync .next",
        "sync checkpoints",
        "remove previous",
        "last -> previous",
        ".next -> last",
        "sync checkpoints",
    ]

    done.clear()
    keeper_of(tmp_path / "other", 1)
    assert done[0] == "sync other"


def test_the_best_takes_no_room_while_it_is_the_last(tmp_path: Path) -> None:
    folder = keeper_of(tmp_path, 1, best=(1,)).folder
    for name in (TENSORS, STATE, MANIFEST):
        assert (folder / "best" / name).samefile(folder / "last" / name)


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK])
def test_where_files_cannot_be_linked_the_best_is_a_copy(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number), str(target))

    monkeypatch.setattr(os, "link", refuse)
    keeper = keeper_of(tmp_path, 1, 2, best=(1, 2))
    assert kept(keeper) == {"last": 2, "previous": 1, "best": 2}
    folder = keeper.folder
    assert not (folder / "best" / TENSORS).samefile(folder / "last" / TENSORS)


def test_a_disk_that_is_full_when_the_best_is_copied_costs_nothing_that_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os_open = os.open

    def refuse_link(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(target))

    def refuse_best(path: Path, *options: int) -> int:
        if path.parent.name == ".next-best" and options[0] & os.O_CREAT:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os_open(path, *options)

    keeper = keeper_of(tmp_path, 1, best=(1,))
    monkeypatch.setattr(os, "link", refuse_link)
    monkeypatch.setattr(os, "open", refuse_best)
    with pytest.raises(OSError, match=r"No space left.*\.next-best"):
        keeper.save(tree_of(2), {"epoch": 2}, is_best=True)
    monkeypatch.undo()
    found = keeper.latest()
    assert found is not None
    assert found.saved.facts["epoch"] == 2
    keeper.tidy()
    assert kept(keeper) == {"last": 2, "previous": 1, "best": 2}


def test_the_newest_is_found(tmp_path: Path) -> None:
    keeper = keeper_of(tmp_path, 1, 2, 3, best=(1,))
    found = keeper.latest()
    assert found is not None
    assert found.folder == keeper.folder / "last"
    assert found.refused == ()
    assert bits(found.saved.tree) == bits(tree_of(3))
    assert keeper.candidates() == [keeper.folder / "last", keeper.folder / "previous"]


@pytest.mark.parametrize("leftover", [(), (".next",), (".next", ".next-best")])
def test_nothing_is_found_where_nothing_was_saved(
    leftover: tuple[str, ...], tmp_path: Path
) -> None:
    keeper = CheckpointRotation(tmp_path / "checkpoints")
    assert keeper.latest() is None
    for name in leftover:
        (keeper.folder / name).mkdir(parents=True)
        (keeper.folder / name / TENSORS).write_bytes(b"half")
        (keeper.folder / name / f"{MANIFEST}.part").write_bytes(b"")
    assert keeper.latest() is None
    keeper.tidy()
    assert not leftover or list(keeper.folder.iterdir()) == []


def test_candidates_come_newest_first_and_those_of_the_runs_end_alone(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("previous", "last", ".next", "best"):
        write(folder / name, tree_of(1), {"epoch": 1})
    keeper = CheckpointRotation(folder)
    assert [path.name for path in keeper.candidates()] == [".next", "last", "previous"]
    for name in ("last", ".next"):
        (folder / name / MANIFEST).unlink()
    assert [path.name for path in keeper.candidates()] == ["last", "previous"]


def test_a_full_disk_costs_nothing_that_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = keeper_of(tmp_path, 1, 2, best=(1,))
    os_write, room = os.write, 0

    def refuse(descriptor: int, content: memoryview) -> int:
        if room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os_write(descriptor, content[:room])

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(OSError, match=r"No space left.*\.next/tensors\.safetensors"):
        keeper.save(tree_of(3), {"epoch": 3}, is_best=True)
    assert kept(keeper) == {"last": 2, "previous": 1, "best": 1}
    room = 7  # a system may take less than it was given
    keeper.save(tree_of(3), {"epoch": 3}, is_best=True)
    assert kept(keeper) == {"last": 3, "previous": 2, "best": 3}


def test_a_tree_that_cannot_be_saved_costs_nothing_that_was_saved(tmp_path: Path) -> None:
    keeper = keeper_of(tmp_path, 1)
    with pytest.raises(TypeError, match="a: cannot save"):
        keeper.save({"a": {1}}, {"epoch": 2}, is_best=True)
    assert kept(keeper) == {"last": 1}


def test_a_best_that_someone_removed_is_made_again_only_from_its_own(tmp_path: Path) -> None:
    keeper = keeper_of(tmp_path, 1, 2, best=(1,))
    shutil.rmtree(keeper.folder / "best")
    keeper.tidy()
    assert kept(keeper) == {"last": 2, "previous": 1}


def test_a_damaged_one_never_becomes_the_best(tmp_path: Path) -> None:
    keeper = keeper_of(tmp_path, 1, best=(1,))
    write(keeper.folder / ".next", tree_of(2), {"epoch": 2, "is_best": True})
    damage(keeper.folder / ".next")
    keeper.tidy()
    assert kept(keeper) == {"last": 1, "best": 1}
