import hashlib
import io
import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import esper.checkpoint
from esper.checkpoint.format import MANIFEST, STATE, TENSORS, read, write
from esper.contracts.errors import CheckpointError
from tests.unit.checkpoint.trees import FACTS, NAMES, TREE


def reason(folder: Path) -> str:
    """Return why a checkpoint is refused: one line, which names its folder."""
    with pytest.raises(CheckpointError) as caught:
        read(folder)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert str(folder) in text
    return text


def forge(folder: Path, name: str, content: bytes) -> None:
    """Put other content in a file, and a manifest that vouches for it."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_bytes())
    del manifest["checksum"]
    manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest()}
    seal(folder, manifest)


def seal(folder: Path, manifest: dict[str, Any]) -> None:
    body = json.dumps(manifest, separators=(",", ":")).encode()
    sealed = {**manifest, "checksum": hashlib.sha256(body).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(sealed, separators=(",", ":")))


def pickles() -> dict[str, bytes]:
    """Return what people call a checkpoint elsewhere."""
    zipped, legacy = io.BytesIO(), io.BytesIO()
    torch.save({"a": torch.ones(2)}, zipped)
    torch.save({"a": torch.ones(2)}, legacy, _use_new_zipfile_serialization=False)
    raw = {f"protocol {number}": pickle.dumps({"a": [1, "b"]}, number) for number in range(6)}
    return {"zip": zipped.getvalue(), "legacy": legacy.getvalue(), **raw}


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_refused(name: str, folder: Path) -> None:
    (folder / name).unlink()
    assert reason(folder) == f"{folder / name} is missing"


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert reason(tmp_path / "last") == f"{tmp_path / 'last' / MANIFEST} is missing"


def test_a_file_that_cannot_be_read_is_refused(folder: Path) -> None:
    (folder / STATE).unlink()
    (folder / STATE).mkdir()
    assert reason(folder) == f"{folder / STATE} cannot be read: Is a directory"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_cut_short_at_any_length_is_refused(name: str, folder: Path) -> None:
    content = (folder / name).read_bytes()
    for length in {0, 1, 2, 7, 8, 9, *range(10, len(content), 7), len(content) - 1}:
        (folder / name).write_bytes(content[:length])
        why = "is not JSON" if name == MANIFEST else "was altered: its checksum differs"
        assert f"{folder / name} {why}" in reason(folder)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_with_more_at_its_end_is_refused(name: str, folder: Path) -> None:
    content = (folder / name).read_bytes()
    for more in (b" ", b"\n", b"}\n", content):
        (folder / name).write_bytes(content + more)
        assert str(folder / name) in reason(folder)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80, 0xFF])
def test_no_altered_byte_goes_unnoticed(name: str, mask: int, folder: Path) -> None:
    content = (folder / name).read_bytes()
    for place in range(0, len(content), 3):
        altered = bytearray(content)
        altered[place] ^= mask
        (folder / name).write_bytes(altered)
        why = reason(folder)
        assert str(folder / name) in why
        if name != MANIFEST:
            assert why.endswith("was altered: its checksum differs")


def test_an_altered_manifest_is_told(folder: Path) -> None:
    path = folder / MANIFEST
    path.write_bytes(path.read_bytes().replace(b'"epoch":3', b'"epoch":4'))
    assert reason(folder) == f"{path} was altered: its checksum differs"


def test_files_of_another_checkpoint_are_refused(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "other", {**TREE, "weight": torch.ones(2, 3)}, FACTS)
    (tmp_path / "other" / TENSORS).replace(folder / TENSORS)
    assert reason(folder) == f"{folder / TENSORS} was altered: its checksum differs"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", pickles())
def test_a_pickle_in_place_of_any_file_is_refused(name: str, kind: str, folder: Path) -> None:
    (folder / name).write_bytes(pickles()[kind])
    why = "is not JSON" if name == MANIFEST else "was altered: its checksum differs"
    assert f"{folder / name} {why}" in reason(folder)


@pytest.mark.parametrize("name", [TENSORS, STATE])
@pytest.mark.parametrize("kind", pickles())
def test_a_pickle_that_the_manifest_vouches_for_is_refused(
    name: str, kind: str, folder: Path
) -> None:
    forge(folder, name, pickles()[kind])
    why = "is not JSON" if name == STATE else "does not hold a saved tree"
    assert why in reason(folder)


class Trap:
    """Does something when it is loaded from a pickle."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.path,)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_a_pickle_is_run(name: str, folder: Path, tmp_path: Path) -> None:
    trap = pickle.dumps(Trap(tmp_path / "sprung"))
    pickle.loads(trap)
    (tmp_path / "sprung").rmdir()
    (folder / name).write_bytes(trap)
    reason(folder)
    assert not (tmp_path / "sprung").exists()


def test_no_module_here_knows_how_to_unpickle() -> None:
    for path in Path(esper.checkpoint.__path__[0]).glob("*.py"):
        source = path.read_text(encoding="utf-8")
        found = re.search(r"import pickle|from pickle|(?<!safetensors\.)torch\.load|shelve", source)
        assert found is None


@pytest.mark.parametrize("name", ["esper-checkpoint-7", "esper-checkpoint-9"])
def test_an_older_or_a_newer_format_is_refused_by_its_name(name: str, folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    del manifest["checksum"]
    seal(folder, {**manifest, "format": name})
    assert reason(folder) == (
        f"{folder / MANIFEST} is of the format '{name}', wanted 'esper-checkpoint-8'"
    )


def test_what_has_no_format_is_refused(folder: Path) -> None:
    (folder / MANIFEST).write_text("[]\n")
    assert reason(folder).endswith("is of the format None, wanted 'esper-checkpoint-8'")


def test_a_manifest_of_our_format_without_its_content_is_refused(folder: Path) -> None:
    seal(folder, {"format": "esper-checkpoint-8"})
    assert "does not hold a manifest" in reason(folder)
    seal(folder, {"format": "esper-checkpoint-8", "facts": {}, "files": {}})
    assert reason(folder) == f"{folder / MANIFEST} does not know {TENSORS}"


@pytest.mark.parametrize("content", [b"hello\n", b"{'a': 1}\n", b"\xff\xfe\xfd", b"[" * 100_000])
def test_what_is_not_json_is_refused(content: bytes, folder: Path) -> None:
    (folder / MANIFEST).write_bytes(content)
    assert f"{folder / MANIFEST} is not JSON" in reason(folder)


@pytest.mark.parametrize("content", [b"", b"hello", b"[NaN]", b'{"a": Infinity}', b"[" * 100_000])
def test_a_state_that_is_not_strict_json_is_refused(content: bytes, folder: Path) -> None:
    forge(folder, STATE, content)
    assert f"{folder / STATE} is not JSON" in reason(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (TENSORS, b""),
        (TENSORS, b"\x80\x02" + bytes(6) + b"{"),
        (TENSORS, safetensors.torch.save({"a": torch.ones(1)})),
        (STATE, b'{"a":{"$":["tensor","0007:a"]}}'),
        (STATE, b'{"$":["set",[1]]}'),
    ],
)
def test_a_vouched_file_that_is_no_part_of_a_tree_is_refused(
    name: str, content: bytes, folder: Path
) -> None:
    forge(folder, name, content)
    assert "does not hold a saved tree" in reason(folder)
