"""Read encoded images and their classes from Parquet files or the hub.  N rows.

The layout is that of the Hugging Face hub: a column of structs with the `bytes` of a PNG or JPEG
file, or of the bytes themselves, and a column of whole numbers.
"""

import logging
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from esper.contracts.errors import DataError
from esper.data.image_options import ImageSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of one or several tables, one after the other.

    images: Arrow column of N encoded images.
    labels_N: their classes.
    tables: name of each table, for messages.
    starts: row at which each table starts.
    """

    images: pa.ChunkedArray
    labels_N: NDArray[np.int64]
    tables: tuple[str, ...]
    starts: tuple[int, ...]

    def encoded(self, rows: NDArray[np.int64]) -> list[bytes | None]:
        """Return the files of some images; None where a row has none."""
        chosen: list[bytes | None] = self.images.take(pa.array(rows)).to_pylist()
        return chosen

    def place(self, row: int) -> str:
        """Return the name of a row for messages."""
        table = bisect_right(self.starts, row) - 1
        return f"{self.tables[table]}: row {row - self.starts[table]}"


def local_rows(path: str, source: ImageSource) -> tuple[Rows, Rows]:
    """Return the rows of the training and of the test files.

    Raises:
        DataError: if files are missing or not of this layout; the message names the file.
    """
    given = Path(path).expanduser()
    is_file = given.is_file()
    if not (is_file or given.is_dir()):
        raise DataError(f"data.path '{path}': no such file or folder")
    if is_file and given.name.startswith("test"):
        raise DataError(f"data.path '{path}': is a test file; name a training file or the folder")
    folder = given.parent if is_file else given
    train = _rows(
        [_file(file, source) for file in ([given] if is_file else _files(folder, "train"))]
    )
    return train, _rows([_file(file, source) for file in _files(folder, "test")])


def hub_rows(source: ImageSource) -> tuple[Rows, Rows]:
    """Return the rows of both parts on the Hugging Face hub, or of the copy in its cache.

    Raises:
        DataError: if the hub is out of reach or its rows are not of this layout.
    """
    import datasets
    from datasets.exceptions import DatasetsError
    from huggingface_hub.utils import logging as hub_logging

    before = hub_logging.get_verbosity()
    hub_logging.set_verbosity(logging.ERROR)  # it warns of each retry
    try:
        parts = datasets.load_dataset(source.repo)
        tables = [parts[name].with_format("arrow")[:] for name in ("train", "test")]
    except (OSError, KeyError, ValueError, DatasetsError) as error:
        raise DataError(
            f"{source.option}: {source.repo} cannot be loaded from the Hugging Face hub "
            f"({_reason(error)}); a folder of Parquet files can be given as data.path"
        ) from error
    finally:
        hub_logging.set_verbosity(before)
    train, test = (_rows([_plain(table, source, source.option)]) for table in tables)
    return train, test


def _files(folder: Path, part: str) -> list[Path]:
    try:
        found = sorted(folder.glob(f"{part}*.parquet"))
    except OSError as error:
        raise DataError(f"data.path '{folder}': cannot be read ({error.strerror})") from error
    if not found:
        raise DataError(f"data.path '{folder}': no {part}*.parquet in this folder")
    return found


def _file(path: Path, source: ImageSource) -> tuple[str, pa.Table]:
    where = f"data.path '{path}'"
    try:
        with pq.ParquetFile(path) as file:
            columns = _columns(file.schema_arrow.names, source, where)
            return _plain(file.read(columns=list(columns)), source, where)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{where}: cannot be read as Parquet ({_reason(error)})") from error


def _plain(table: pa.Table, source: ImageSource, where: str) -> tuple[str, pa.Table]:
    """Return the table with the columns `image`, of bytes, and `label`, both checked."""
    image_name, label_name = _columns(table.column_names, source, where)
    image, label = table[image_name], table[label_name]
    if pa.types.is_struct(image.type) and image.type.get_field_index("bytes") >= 0:
        image = pc.struct_field(image, "bytes")
    if not (pa.types.is_binary(image.type) or pa.types.is_large_binary(image.type)):
        raise DataError(f"{where}: column {image_name} is {image.type}, not the bytes of images")
    if not pa.types.is_integer(label.type) or label.null_count:
        held = f"{label.type} with {label.null_count} nulls"
        raise DataError(f"{where}: column {label_name} is {held}, not a whole number in each row")
    if table.num_rows == 0:
        raise DataError(f"{where}: no rows")
    low, high = pc.min_max(label).as_py().values()
    if low < 0 or high >= source.num_classes:
        raise DataError(
            f"{where}: column {label_name} goes from {low} to {high}; {source.option} has "
            f"{source.num_classes} classes, 0 to {source.num_classes - 1}"
        )
    columns = {"image": image.cast(pa.large_binary()), "label": label.cast(pa.int64())}
    return where, pa.table(columns)


def _columns(names: Sequence[str], source: ImageSource, where: str) -> tuple[str, str]:
    """Return the names of the columns of images and of classes."""

    def pick(wanted: Sequence[str]) -> str:
        for name in wanted:
            if name in names:
                return name
        raise DataError(
            f"{where}: no column {' or '.join(wanted)} (columns: {', '.join(names) or 'none'})"
        )

    return pick(source.image_columns), pick((source.label_column,))


def _rows(parts: Sequence[tuple[str, pa.Table]]) -> Rows:
    whole = pa.concat_tables([table for _, table in parts])
    return Rows(
        images=whole["image"],
        labels_N=whole["label"].to_numpy(),
        tables=tuple(where for where, _ in parts),
        starts=(0, *accumulate(table.num_rows for _, table in parts[:-1])),
    )


def _reason(error: Exception) -> str:
    """Return the message of an error in one line."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
