import hashlib
import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from esper.checkpoint.format import MANIFEST, STATE, TENSORS, read, write
from tests.unit.checkpoint.trees import FACTS, NAMES, TREE, bits


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path / "last", TREE, FACTS)
    saved = read(tmp_path / "last")
    assert bits(saved.tree) == bits(TREE)
    assert bits(saved.facts) == bits(FACTS)
    assert {path.name for path in (tmp_path / "last").iterdir()} == set(NAMES)


@pytest.mark.parametrize("tree", [None, [], {}, {"a": 1}, [torch.empty(0)], torch.tensor(2.0)])
def test_a_tree_without_tensors_or_without_values_is_one_too(tree: Any, tmp_path: Path) -> None:
    write(tmp_path / "last", tree, {})
    assert bits(read(tmp_path / "last").tree) == bits(tree)


def test_other_tools_can_read_the_files(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / TENSORS)
    assert list(tensors) == ["0000:weight"]
    assert json.loads((folder / STATE).read_text())["weight"] == {"$": ["tensor", "0000:weight"]}
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["format"] == "esper-checkpoint-8"
    assert manifest["facts"]["epoch"] == 3
    content = (folder / STATE).read_bytes()
    assert manifest["files"][STATE] == {"sha256": hashlib.sha256(content).hexdigest()}


def test_the_same_tree_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "again", TREE, FACTS)
    for name in NAMES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_a_tree_that_cannot_be_saved_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"a: cannot save a builtins\.set"):
        write(tmp_path / "last", {"a": {1}}, FACTS)
    with pytest.raises(TypeError, match="facts cannot hold a tensor"):
        write(tmp_path / "last", TREE, {"a": torch.ones(1)})
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_never_written_over(folder: Path) -> None:
    with pytest.raises(FileExistsError, match="last"):
        write(folder, TREE, FACTS)
    assert bits(read(folder).tree) == bits(TREE)


def test_a_disk_that_takes_no_more_is_told_by_the_files_name(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write(tmp_path / "last", {"weight": torch.ones(1_000)}, FACTS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(tmp_path / "last" / TENSORS)
    assert not (tmp_path / "last" / MANIFEST).exists()


def test_every_file_is_on_the_disk_before_its_name_and_the_folder_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int | str] = []
    fsync, rename = os.fsync, os.rename

    def synced(descriptor: int) -> None:
        done.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def renamed(source: Path, target: Path) -> None:
        done.append(f"{source.name} -> {target.name}")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    folder = tmp_path / "last"
    write(folder, TREE, FACTS)
    tensors, state, manifest = ((folder / name).stat().st_ino for name in NAMES)
    order = [tensors, state, manifest, f"{MANIFEST}.part -> {MANIFEST}", folder.stat().st_ino]
    assert done == order
