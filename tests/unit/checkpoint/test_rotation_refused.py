"""Checkpoints that cannot be used: refused by name, and the one before them is found."""

import shutil
from pathlib import Path

import pytest

from esper.checkpoint.format import MANIFEST, STATE, TENSORS, read, write
from esper.contracts.errors import CheckpointError
from tests.unit.checkpoint.trees import damage, keeper_of, kept, tree_of


def test_a_damaged_one_is_refused_by_name_and_the_one_before_is_used(tmp_path: Path) -> None:
    keeper = keeper_of(tmp_path, 1, 2)
    damage(keeper.folder / "last")
    found = keeper.latest()
    assert found is not None
    assert found.folder == keeper.folder / "previous"
    assert found.saved.facts["epoch"] == 1
    path = keeper.folder / "last" / TENSORS
    assert found.refused == (("last", f"{path} was altered: its checksum differs"),)


@pytest.mark.parametrize("name", [TENSORS, STATE, MANIFEST])
def test_one_that_lacks_a_file_is_refused_too(name: str, tmp_path: Path) -> None:
    keeper = keeper_of(tmp_path, 1, 2)
    (keeper.folder / "last" / name).unlink()
    found = keeper.latest()
    assert found is not None
    assert found.saved.facts["epoch"] == 1
    assert found.refused == (("last", f"{keeper.folder / 'last' / name} is missing"),)


@pytest.mark.parametrize("name", ["last", "previous", "best", ".next", ".next-best"])
def test_a_link_to_nowhere_where_a_checkpoint_belongs_gives_way(name: str, tmp_path: Path) -> None:
    keeper = keeper_of(tmp_path, 1, 2, best=(2,))
    if (keeper.folder / name).exists():
        shutil.rmtree(keeper.folder / name)
    (keeper.folder / name).symlink_to("nowhere")
    for epoch in (3, 4):
        keeper.save(tree_of(epoch), {"epoch": epoch}, is_best=True)
    assert kept(keeper) == {"last": 4, "previous": 3, "best": 4}


@pytest.mark.parametrize("name", ["last", ".next", ".next-best"])
def test_a_file_where_a_checkpoint_belongs_gives_way(name: str, tmp_path: Path) -> None:
    keeper = keeper_of(tmp_path, 1, 2)
    if name == "last":
        shutil.rmtree(keeper.folder / name)
    (keeper.folder / name).write_text("a note")
    found = keeper.latest()
    assert found is not None
    epoch = 1 if name == "last" else 2
    assert found.saved.facts["epoch"] == epoch
    for refused, _ in found.refused:
        keeper.discard(refused)
    keeper.save(tree_of(3), {"epoch": 3}, is_best=True)
    assert sorted(each.name for each in keeper.folder.iterdir()) == ["best", "last", "previous"]
    assert [saved.facts["epoch"] for saved in map(read, keeper.candidates())] == [3, epoch]


def test_when_none_can_be_used_every_reason_is_told(tmp_path: Path) -> None:
    keeper = keeper_of(tmp_path, 1, 2, best=(1,))
    damage(keeper.folder / "last")
    (keeper.folder / "previous" / STATE).unlink()
    with pytest.raises(CheckpointError) as caught:
        keeper.latest()
    folder = keeper.folder
    assert str(caught.value) == (
        f"no checkpoint in {folder} can be used: "
        f"{folder / 'last' / TENSORS} was altered: its checksum differs; "
        f"{folder / 'previous' / STATE} is missing; to train anew, remove that folder and resume "
        "again"
    )


def test_a_run_goes_on_after_its_last_checkpoint_was_refused(tmp_path: Path) -> None:
    keeper = keeper_of(tmp_path, 1, 2, 3)
    damage(keeper.folder / "last")
    keeper.tidy()
    keeper.save(tree_of(3), {"epoch": 3}, is_best=True)
    found = keeper.latest()
    assert found is not None
    assert found.folder == keeper.folder / "last"
    keeper.save(tree_of(4), {"epoch": 4}, is_best=False)
    assert kept(keeper) == {"last": 4, "previous": 3, "best": 3}


def test_a_discarded_one_takes_no_sound_ones_place(tmp_path: Path) -> None:
    keeper = keeper_of(tmp_path, 1, 2)
    damage(keeper.folder / "last")
    keeper.discard("last")
    keeper.save(tree_of(2), {"epoch": 2}, is_best=False)
    assert kept(keeper) == {"last": 2, "previous": 1}


def test_a_newer_one_that_was_not_put_in_place_is_found_and_put_there(tmp_path: Path) -> None:
    keeper = keeper_of(tmp_path, 1, 2)
    write(keeper.folder / ".next", tree_of(3), {"epoch": 3, "is_best": True})
    found = keeper.latest()
    assert found is not None
    assert found.folder == keeper.folder / ".next"
    keeper.tidy()
    assert kept(keeper) == {"last": 3, "previous": 2, "best": 3}


def test_a_newer_one_that_is_damaged_is_refused_and_costs_no_other(tmp_path: Path) -> None:
    keeper = keeper_of(tmp_path, 1, 2)
    write(keeper.folder / ".next", tree_of(3), {"epoch": 3, "is_best": False})
    damage(keeper.folder / ".next")
    found = keeper.latest()
    assert found is not None
    assert (found.saved.facts["epoch"], found.refused[0][0]) == (2, ".next")
    keeper.tidy()
    assert kept(keeper) == {"last": 2, "previous": 1}


def test_a_newer_one_damaged_after_death_between_two_renames_costs_no_other(tmp_path: Path) -> None:
    keeper = keeper_of(tmp_path, 1, 2)
    write(keeper.folder / ".next", tree_of(3), {"epoch": 3, "is_best": False})
    damage(keeper.folder / ".next")
    shutil.rmtree(keeper.folder / "previous")
    (keeper.folder / "last").rename(keeper.folder / "previous")
    keeper.tidy()
    assert kept(keeper) == {"last": 2}
