"""Text: windows of characters whose answer is the next character."""

import sys
from pathlib import Path

import pytest
import torch

from esper.contracts.data import InputKind
from esper.contracts.errors import DataError
from esper.data.text import Text

ALPHABET = "abcdefghij"


def write(folder: Path, text: str) -> str:
    path = folder / "text.txt"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_answer_is_the_window_shifted_by_one(tmp_path: Path) -> None:
    data = Text(path=write(tmp_path, ALPHABET * 30), context=5).load()
    for part in (data.train, data.val, data.test):
        assert part.x.dtype == part.y.dtype == torch.int64
        assert torch.equal(part.y[:, :-1], part.x[:, 1:])
        # a..j are classes 1..10, and each is followed by the next one.
        assert torch.equal(part.y, part.x % 10 + 1)


def test_windows_lie_side_by_side_and_never_cross_a_border(tmp_path: Path) -> None:
    # 10 characters: train "abcdef", validation "gh", test "ij"; a window of 1 and its answer.
    path = write(tmp_path, ALPHABET)
    data = Text(path=path, context=1, val_fraction=0.2, test_fraction=0.2).load()
    assert data.train.x.flatten().tolist() == [1, 2, 3, 4, 5]
    assert data.train.y.flatten().tolist() == [2, 3, 4, 5, 6]
    assert len(data.val) == len(data.test) == 1


def test_characters_that_train_does_not_hold_are_class_0(tmp_path: Path) -> None:
    path = write(tmp_path, "ab" * 8 + "axay" + "b日b日")
    data = Text(path=path, context=1, val_fraction=1 / 6, test_fraction=1 / 6).load()
    assert data.spec.num_classes == 3
    assert data.val.x.flatten().tolist() == [1, 0, 1]
    assert data.test.y.flatten().tolist() == [0, 2, 0]


def test_windows_are_capped_over_all_parts_and_spread_evenly(tmp_path: Path) -> None:
    option = {"path": write(tmp_path, ALPHABET * 100), "context": 9}
    data = Text(**option, max_windows=20).load()  # type: ignore[arg-type]
    whole = Text(**option, max_windows=None).load()  # type: ignore[arg-type]
    assert [len(part) for part in (data.train, data.val, data.test)] == [16, 2, 2]
    assert [len(part) for part in (whole.train, whole.val, whole.test)] == [88, 11, 11]
    assert torch.equal(data.train.x, whole.train.x[[i * 88 // 16 for i in range(16)]])


def test_only_so_many_characters_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, "ab" * 50 + "z" * 1000)
    data = Text(path=path, context=4, max_characters=100).load()
    assert data.spec.num_classes == 3
    assert not (data.test.x == 0).any()


def test_without_a_path_the_help_topics_of_python_are_read() -> None:
    data = Text().load()
    assert data.spec.kind is InputKind.TOKENS
    assert data.spec.input_shape == (64,)
    assert 60 < data.spec.num_classes < 400
    assert data.train.x.shape == (1024, 64)
    assert len(data.val) == len(data.test) == 128
    assert int(data.train.x.max()) < data.spec.num_classes
    assert torch.equal(data.val.x, Text(max_characters=None).load().val.x)


def test_a_mark_at_the_start_of_the_file_is_no_character(tmp_path: Path) -> None:
    path = tmp_path / "marked.txt"
    path.write_bytes(b"\xef\xbb\xbf" + b"ab" * 50)
    assert Text(path=str(path), context=4).load().spec.num_classes == 3


def test_a_missing_file_is_one_line_with_the_path(tmp_path: Path) -> None:
    path = str(tmp_path / "nowhere.txt")
    with pytest.raises(DataError) as caught:
        Text(path=path).load()
    assert str(caught.value) == f"data.path '{path}': cannot be read (No such file or directory)"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Is a directory"):
        Text(path=str(tmp_path)).load()


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(DataError, match=r"image\.png': not UTF-8 text \(invalid start byte\)"):
        Text(path=str(path)).load()


def test_a_path_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(DataError, match="null byte"):
        Text(path="a\0b").load()


@pytest.mark.parametrize("length", [0, 3, 39])
def test_a_text_too_short_says_how_short(tmp_path: Path, length: int) -> None:
    path = write(tmp_path, "a" * length)
    with pytest.raises(DataError, match=f"too short: {length} characters .* needs 5"):
        Text(path=path, context=4).load()


def test_fifty_characters_are_enough_for_windows_of_four(tmp_path: Path) -> None:
    data = Text(path=write(tmp_path, "a" * 50), context=4).load()
    assert [len(part) for part in (data.train, data.val, data.test)] == [9, 1, 1]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"path": " "}, r"data\.path must name a text file or be null, got ' '"),
        ({"batch_size": 0}, r"data\.batch_size must be >= 1, got 0"),
        ({"context": 0}, r"data\.context must be >= 1, got 0"),
        ({"max_characters": 0}, r"data\.max_characters must be null or >= 1, got 0"),
        ({"max_windows": 2}, r"data\.max_windows must be null or >= 3, got 2"),
        ({"val_fraction": 1.0}, r"data\.val_fraction must be in \(0, 1\), got 1\.0"),
    ],
)
def test_a_value_out_of_range_is_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Text(**options)  # type: ignore[arg-type]


def test_a_python_without_help_topics_asks_for_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(DataError, match=r"comes without it; give a text file as data\.path"):
        Text().load()
