"""Parquet files of images: which files and columns are read, and how broken ones are named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esper.contracts.errors import DataError
from esper.data.image_options import ImageSource
from tests.parquet_images import encoded, image_of, structs, write_images, write_table

pytest.importorskip("pyarrow", reason="no library: pip install 'esper-morph[data]'")
pytest.importorskip("PIL", reason="no library: pip install 'esper-morph[data]'")

SOURCE = ImageSource(option="data=cifar10", repo="uoft-cs/cifar10")
FINE = ImageSource(option="data=cifar100", repo="x", label_column="fine_label", num_classes=100)
LABELS = [3, 1, 2]
PHOTOS = [image_of(label, 0) for label in LABELS]


def read(path: Path, source: ImageSource = SOURCE) -> Any:
    from esper.data.parquet import local_rows

    return local_rows(str(path), source)


def load(folder: Path) -> None:
    from esper.data.cifar10 import CIFAR10

    CIFAR10(path=str(folder), val_fraction=0.5).load()


def write_both(folder: Path, **columns: Any) -> Path:
    for part in ("train", "test"):
        write_table(folder / f"{part}-00000-of-00001.parquet", columns)
    return folder


def test_rows_of_several_files_follow_one_another_in_the_order_of_names(tmp_path: Path) -> None:
    train, test = read(write_images(tmp_path, 20, 5))
    assert train.labels_N.tolist() == [*range(10), *range(10)]
    assert test.labels_N.tolist() == [0, 1, 2, 3, 4]
    wanted = [encoded(image_of(row % 10, row)) for row in (19, 0, 10)]
    assert train.encoded(np.array([19, 0, 10])) == wanted
    first, second = (tmp_path / f"train-0000{part}-of-00002.parquet" for part in (0, 1))
    assert [train.place(row) for row in (0, 9, 10, 19)] == [
        f"data.path '{first}': row 0",
        f"data.path '{first}': row 9",
        f"data.path '{second}': row 0",
        f"data.path '{second}': row 9",
    ]


@pytest.mark.parametrize(
    ("columns", "source"),
    [
        ({"img": structs(PHOTOS), "label": LABELS}, SOURCE),
        ({"label": LABELS, "image": structs(PHOTOS), "other": ["a", "b", "c"]}, SOURCE),
        ({"img": [encoded(photo) for photo in PHOTOS], "label": LABELS}, SOURCE),
        ({"img": structs(PHOTOS), "fine_label": LABELS, "coarse_label": [9, 9, 9]}, FINE),
    ],
)
def test_a_column_goes_by_either_name_and_either_form(
    tmp_path: Path, columns: dict[str, Any], source: ImageSource
) -> None:
    train, _ = read(write_both(tmp_path, **columns), source)
    assert train.labels_N.tolist() == LABELS
    assert train.encoded(np.arange(3)) == [encoded(photo) for photo in PHOTOS]


def test_colours_do_not_depend_on_the_format_of_the_file(tmp_path: Path) -> None:
    red, blue = (np.zeros((32, 32, 4), np.uint8) for _ in range(2))
    red[..., [0, 3]] = 255
    blue[..., [2, 3]] = 255
    files = [encoded(red), encoded(red[..., :3], "JPEG"), encoded(blue[..., :3]), encoded(blue)]
    write_both(tmp_path, img=files * 10, label=[row // 4 for row in range(40)])
    from esper.data.cifar10 import CIFAR10

    test = CIFAR10(path=str(tmp_path), val_fraction=0.5, image_size=1).load().test
    means = test.x.view(10, 4, 3).mean(0)
    # Half of the images are of either colour: one deviation above the mean, or below it.
    expected = np.array([[1, 0, -1]] * 2 + [[-1, 0, 1]] * 2)
    assert np.abs(means.numpy() - expected)[:, [0, 2]].max() < 0.1


def test_the_library_of_the_hub_gives_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets", reason="no library of the extra data")
    from esper.data.parquet import hub_rows, local_rows

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = write_images(tmp_path / "set", 20, 5)
    # The library takes a folder of the layout of a repository for one.
    from_hub = hub_rows(ImageSource(option="data=cifar10", repo=str(folder)))
    for rows, wanted in zip(from_hub, local_rows(str(folder), SOURCE), strict=True):
        assert rows.labels_N.tolist() == wanted.labels_N.tolist()
        every = np.arange(len(wanted.labels_N))
        assert rows.encoded(every) == wanted.encoded(every)
        assert rows.place(3) == "data=cifar10: row 3"


def test_a_repository_without_test_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets", reason="no library of the extra data")
    from esper.data.parquet import hub_rows

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = only_train(tmp_path)
    words = r"^data=cifar10: .* cannot be loaded from the Hugging Face hub \('test'\); a folder of"
    with pytest.raises(DataError, match=words):
        hub_rows(ImageSource(option="data=cifar10", repo=str(folder)))


def missing(folder: Path) -> Path:
    return folder / "nowhere"


def null_byte(folder: Path) -> Path:
    return folder / "a\0b"


def empty(folder: Path) -> Path:
    return folder


def only_train(folder: Path) -> Path:
    return write_table(folder / "train.parquet", {"img": structs(PHOTOS), "label": LABELS}).parent


def file_of_test(folder: Path) -> Path:
    return write_images(folder, 20, 10) / "test-00000-of-00001.parquet"


def text(folder: Path) -> Path:
    (folder / "train.parquet").write_text("img,label\n")
    return folder


def cut(folder: Path) -> Path:
    file = write_images(folder) / "train-00000-of-00002.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    return folder


def hollow(folder: Path) -> Path:
    file = write_images(folder) / "train-00001-of-00002.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :])
    return folder


def columns(**values: Any) -> Callable[[Path], Path]:
    return lambda folder: write_both(folder, **values)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (missing, ("nowhere': no such file or folder",)),
        (null_byte, ("no such file or folder",)),
        (empty, ("no train*.parquet in this folder",)),
        (only_train, ("no test*.parquet in this folder",)),
        (file_of_test, ("test-00000-of-00001.parquet': is a test file; name a training file",)),
        (text, ("train.parquet': cannot be read as Parquet (",)),
        (cut, ("train-00000-of-00002.parquet': cannot be read as Parquet (",)),
        (hollow, ("train-00001-of-00002.parquet': cannot be read as Parquet (",)),
        (columns(label=LABELS), ("no column img or image (columns: label)",)),
        (columns(img=structs(PHOTOS), fine_label=LABELS), ("no column label (columns: img, fine",)),
        (columns(img=LABELS, label=LABELS), ("column img is int64, not the bytes of images",)),
        (columns(img=structs(PHOTOS), label=["a", "b", "c"]), ("column label is string with",)),
        (columns(img=structs(PHOTOS), label=[1, None, 2]), ("int64 with 1 nulls, not a whole",)),
        (columns(img=structs(PHOTOS), label=[0, 1, 10]), ("from 0 to 10; data=cifar10 has 10 cl",)),
        (columns(img=structs(PHOTOS), label=[0, -1, 1]), ("goes from -1 to 1; data=cifar10 has",)),
    ],
)
def test_a_refusal_is_one_line_that_names_the_place(
    tmp_path: Path, make: Callable[[Path], Path], words: tuple[str, ...]
) -> None:
    with pytest.raises(DataError) as refused:
        read(make(tmp_path))
    line = str(refused.value)
    assert line.startswith(f"data.path '{tmp_path}")
    assert "\n" not in line
    for word in words:
        assert word in line


def test_files_without_rows_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    none = pa.table({"img": pa.array([], pa.binary()), "label": pa.array([], pa.int64())})
    for part in ("train", "test"):
        pq.write_table(none, tmp_path / f"{part}.parquet")
    with pytest.raises(DataError, match=r"train\.parquet': no rows"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (b"no image", r"row 13: the image is neither PNG nor JPEG$"),
        (b"", r"row 13: the image is neither PNG nor JPEG$"),
        (encoded(image_of(3, 0))[:700], r"row 13: the image is broken \("),
        (None, r"row 13: holds no image$"),
        (encoded(image_of(3, 0)[:28, :30]), r"row 13: the image has 30 x 28 pixels; .* 32 x 32"),
    ],
)
@pytest.mark.parametrize("part", ["train", "test"])
def test_an_image_that_is_broken_is_named_by_file_and_row(
    tmp_path: Path, image: bytes | None, words: str, part: str
) -> None:
    images: list[bytes | None] = [encoded(image_of(row % 10, row)) for row in range(20)]
    labels = [row % 10 for row in range(20)]
    write_both(tmp_path, img=images, label=labels)
    images[13] = image
    write_table(tmp_path / f"{part}-00000-of-00001.parquet", {"img": images, "label": labels})
    with pytest.raises(DataError, match=rf"{part}-00000-of-00001\.parquet': {words}") as refused:
        load(tmp_path)
    assert "\n" not in str(refused.value)
