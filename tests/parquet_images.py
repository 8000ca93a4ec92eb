"""Small image sets in Parquet files of the Hugging Face layout, written for a test."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NEEDED = ("datasets", "pyarrow", "PIL")
WHY_NOT = "" if all(map(find_spec, NEEDED)) else "no library: pip install 'esper-morph[data]'"
"""Reason why Parquet files of images cannot be written and read here; empty if they can."""

SIDE = 32


def image_of(label: int, row: int) -> NDArray[np.uint8]:
    """Return an image (32, 32, 3) that no other row has, with a bright stripe for its class."""
    noise = np.random.RandomState([label, row]).randint(0, 100, (SIDE, SIDE, 3))
    noise[:, 3 * label : 3 * label + 3] += 150
    pixels: NDArray[np.uint8] = noise.astype(np.uint8)
    return pixels


def encoded(pixels: NDArray[np.uint8], kind: str = "PNG") -> bytes:
    """Return the bytes of an image file."""
    from PIL import Image

    file = BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def structs(images: Sequence[NDArray[np.uint8]]) -> list[dict[str, Any]]:
    """Return a column of images as the hub stores them."""
    return [{"bytes": encoded(image), "path": f"{row}.png"} for row, image in enumerate(images)]


def write_table(path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    """Write a Parquet file; return its path."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), path)
    return path


def write_images(folder: Path, num_train: int = 100, num_test: int = 20) -> Path:
    """Write two training files and a test file; row r has class r modulo 10, none has a twin."""
    folder.mkdir(parents=True, exist_ok=True)
    half = num_train // 2
    parts = {
        "train-00000-of-00002": range(half),
        "train-00001-of-00002": range(half, num_train),
        "test-00000-of-00001": range(num_train, num_train + num_test),
    }
    for name, rows in parts.items():
        images = structs([image_of(row % 10, row) for row in rows])
        labels = [row % 10 for row in rows]
        write_table(folder / f"{name}.parquet", {"img": images, "label": labels})
    return folder
