"""CIFAR-10: its parts, their pixels, and what is refused."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from esper.contracts.data import InputKind
from esper.contracts.errors import ConfigError, DataError
from esper.data.base import DataSet, Split
from esper.data.cifar10 import CIFAR10
from tests.parquet_images import WHY_NOT, image_of, write_images

needs_extra = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
NUM_TRAIN, NUM_TEST = 100, 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    if WHY_NOT:
        pytest.skip(WHY_NOT)
    return str(write_images(tmp_path_factory.mktemp("images"), NUM_TRAIN, NUM_TEST))


@pytest.fixture(scope="module")
def images(folder: str) -> DataSet:
    return CIFAR10(path=folder).load()


def averaged(row: int, size: int) -> torch.Tensor:
    """Return the image of a row, (3, size, size): each pixel the mean of a square."""
    step = 32 // size
    pixels = image_of(row % 10, row).astype(np.float64)
    squares = pixels.reshape(size, step, size, step, 3).mean((1, 3))
    return torch.tensor(squares).permute(2, 0, 1)


def rows_of(part: Split, data: DataSet) -> list[int]:
    """Return the row of each image, found as that whose pixels correlate fully."""
    size = data.spec.input_shape[-1]
    count = NUM_TRAIN + NUM_TEST
    known = torch.stack([averaged(row, size)[0].flatten() for row in range(count)])
    given = part.x[:, 0].flatten(1).double()
    together = torch.corrcoef(torch.cat([given, known]))[: len(given), len(given) :]
    assert together.max(1).values.min() > 0.9999
    return [int(row) for row in together.argmax(1)]


def test_the_parts_are_train_files_in_two_and_the_test_files(images: DataSet) -> None:
    train, val, test = (rows_of(part, images) for part in (images.train, images.val, images.test))
    assert len(val) == 20
    assert sorted(train + val) == list(range(NUM_TRAIN))
    assert test == list(range(NUM_TRAIN, NUM_TRAIN + NUM_TEST))
    assert images.spec.kind is InputKind.IMAGE
    assert images.spec.input_shape == images.train.x.shape[1:] == (3, 32, 32)
    assert images.spec.num_classes == 10
    assert torch.bincount(images.val.y).tolist() == [2] * 10


def test_images_keep_their_classes(images: DataSet) -> None:
    for part in (images.train, images.val, images.test):
        assert part.y.dtype == torch.int64
        assert [row % 10 for row in rows_of(part, images)] == part.y.tolist()


@pytest.mark.parametrize("size", [32, 16, 8, 1])
def test_pixels_are_averages_of_squares_standardised_by_train(folder: str, size: int) -> None:
    whole = CIFAR10(path=folder, val_fraction=0.5).load()
    data = CIFAR10(path=folder, val_fraction=0.5, image_size=size).load()
    mean, deviation = (x.view(1, 3, 1, 1) for x in train_moments(whole, size))
    for part, reference in ((data.val, whole.val), (data.test, whole.test)):
        pixels = torch.stack([averaged(row, size) for row in rows_of(reference, whole)])
        expected = ((pixels - mean) / deviation).float()
        assert torch.allclose(part.x, expected, atol=1e-4)


def train_moments(whole: DataSet, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the moments of train at a size, its rows found at the full one."""
    pixels = torch.stack([averaged(row, size) for row in rows_of(whole.train, whole)])
    return pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))


def test_a_limit_holds_for_the_training_files_and_for_each_class(folder: str) -> None:
    data = CIFAR10(path=folder, max_samples=50).load()
    assert torch.bincount(data.train.y).tolist() == [4] * 10
    assert torch.bincount(data.val.y).tolist() == [1] * 10
    assert len(data.test) == NUM_TEST
    rows = rows_of(data.train, data) + rows_of(data.val, data)
    assert max(rows) < NUM_TRAIN
    assert len(set(rows)) == 50
    assert max(rows) >= NUM_TRAIN // 2 > min(rows), "drawn from both files"


def test_a_limit_above_what_there_is_takes_all(folder: str, images: DataSet) -> None:
    data = CIFAR10(path=folder, max_samples=NUM_TRAIN + 1).load()
    assert torch.equal(data.train.x, images.train.x)


def test_the_split_seed_alone_decides_subset_and_split(folder: str) -> None:
    def rows(seed: int, image_size: int | None = None) -> list[list[int]]:
        data = CIFAR10(path=folder, max_samples=50, split_seed=seed, image_size=image_size).load()
        return [rows_of(data.train, data), rows_of(data.val, data)]

    torch.manual_seed(0)
    first = rows(1)
    torch.manual_seed(1)
    assert rows(1, 16) == first
    assert rows(2) != first


def test_one_training_file_is_read_alone_with_the_test_files_beside_it(folder: str) -> None:
    data = CIFAR10(path=f"{folder}/train-00001-of-00002.parquet").load()
    rows = rows_of(data.train, data) + rows_of(data.val, data)
    assert sorted(rows) == list(range(NUM_TRAIN // 2, NUM_TRAIN))
    assert len(data.test) == NUM_TEST


def test_images_that_are_decoded_in_chunks_stay_in_order(
    folder: str, images: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("esper.data.images.CHUNK", 16)  # 80 is a multiple of it, 20 is not
    data = CIFAR10(path=folder).load()
    assert torch.allclose(data.train.x, images.train.x, atol=1e-5)
    assert torch.allclose(data.test.x, images.test.x, atol=1e-5)


@needs_extra
def test_images_of_one_colour_stay_finite(tmp_path: Path) -> None:
    from tests.parquet_images import structs, write_table

    grey = structs([np.full((32, 32, 3), 7, np.uint8)] * 30)
    for part in ("train", "test"):
        labels = [row % 10 for row in range(30)]
        write_table(tmp_path / f"{part}.parquet", {"img": grey, "label": labels})
    data = CIFAR10(path=str(tmp_path)).load()
    assert data.train.x.abs().max() == data.test.x.abs().max() == 0


def test_a_class_too_rare_names_the_limit(folder: str) -> None:
    words = r"data\.max_samples=20 and data\.val_fraction=0\.2: the 2 samples of class 0 do not"
    with pytest.raises(DataError, match=words):
        CIFAR10(path=folder, max_samples=20).load()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"path": " "}, r"data\.path must name a folder of Parquet files or be null, got ' '"),
        ({"batch_size": 0}, r"data\.batch_size must be >= 1, got 0"),
        ({"val_fraction": 1.0}, r"data\.val_fraction must be in \(0, 1\), got 1\.0"),
        ({"split_seed": -1}, r"data\.split_seed must be in \[0, 4294967296\), got -1"),
        ({"max_samples": 19}, r"data\.max_samples must be null or >= 20, got 19"),
        ({"image_size": 0}, r"data\.image_size must be null or in \[1, 32\], got 0"),
        ({"image_size": 33}, r"data\.image_size must be null or in \[1, 32\], got 33"),
    ],
)
def test_a_value_out_of_range_is_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        CIFAR10(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("absent", "path"), [("pyarrow", "x"), ("PIL", "x"), ("datasets", None), ("pyarrow", None)]
)
def test_a_missing_library_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, absent: str, path: str | None
) -> None:
    def without(name: str) -> object:
        return None if name == absent else find_spec("json")

    monkeypatch.setattr("esper.data.image_options.find_spec", without)
    with pytest.raises(ConfigError) as refused:
        CIFAR10(path=path).load()
    assert str(refused.value) == (
        "data=cifar10 needs a library that is not installed: pip install 'esper-morph[data]'"
    )


def test_files_are_read_without_the_library_of_the_hub(
    monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    def without(name: str) -> object:
        return None if name == "datasets" else find_spec(name)

    monkeypatch.setattr("esper.data.image_options.find_spec", without)
    assert len(CIFAR10(path=folder).load().test) == NUM_TEST


def test_the_table_of_options_imports_no_library_of_the_extra() -> None:
    code = (
        "import sys, esper.options; "
        "print([name for name in ('torch', 'pyarrow', 'PIL', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
