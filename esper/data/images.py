"""Decode an image set into three standardised parts.

N samples, C channels, H height, W width, S pixels a side.
"""

from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import interpolate

from esper.contracts.data import DataSpec, InputKind
from esper.contracts.errors import DataError
from esper.data.base import DataSet, Split
from esper.data.image_options import ImageOptions, ImageSource
from esper.data.parquet import Rows, hub_rows, local_rows
from esper.data.splits import stratified, stratified_subset

CHUNK = 1024
"""Images that are held at their full size at a time."""

_MODES = {1: "L", 3: "RGB"}
_FORMATS = ("PNG", "JPEG")
_BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""Errors that Pillow raises for bytes that are no image, or part of one."""


def load_images(options: ImageOptions) -> DataSet:
    """Return train and val from the training files, test from all of the test files.

    Each channel is standardised by its mean and deviation over the pixels of train.

    Raises:
        DataError: if files are missing or broken, or a class has too few samples.
    """
    source, size = options.source, options.size
    whole, test = hub_rows(source) if options.path is None else local_rows(options.path, source)
    train_rows, val_rows = _split(torch.tensor(whole.labels_N), options)
    parts = [(whole, train_rows), (whole, val_rows), (test, np.arange(len(test.labels_N)))]
    splits = [_decoded(rows, chosen, source, size) for rows, chosen in parts]
    _standardise(splits)
    train_split, val_split, test_split = splits
    return DataSet(
        spec=DataSpec(
            kind=InputKind.IMAGE,
            input_shape=(source.num_channels, size, size),
            num_classes=source.num_classes,
        ),
        train=train_split,
        val=val_split,
        test=test_split,
    )


def _split(labels_N: Tensor, options: ImageOptions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of train and of val."""
    most = options.max_samples
    chosen = torch.arange(len(labels_N))
    if most is not None:
        chosen = stratified_subset(labels_N, most, options.split_seed)
    held_out = {"val_fraction": options.val_fraction}
    try:
        train, val = stratified(labels_N[chosen], held_out, options.split_seed)
    except DataError as error:
        limit = "" if most is None else f"data.max_samples={most} and "
        raise DataError(f"{limit}{error}") from error
    return chosen[train].numpy(), chosen[val].numpy()


def _decoded(rows: Rows, chosen: NDArray[np.int64], source: ImageSource, size: int) -> Split:
    """Return the chosen rows in their order; x (N, C, S, S) holds pixels from 0 to 255."""
    x_NCSS = torch.empty(len(chosen), source.num_channels, size, size)
    for x, numbers in zip(
        torch.split(x_NCSS, CHUNK), np.split(chosen, range(CHUNK, len(chosen), CHUNK)), strict=True
    ):
        images = zip(numbers, rows.encoded(numbers), strict=True)
        pixels_NHWC = np.stack([_pixels(rows, int(row), data, source) for row, data in images])
        pixels_NCHW = torch.from_numpy(pixels_NHWC).permute(0, 3, 1, 2).float()
        x.copy_(interpolate(pixels_NCHW, size=(size, size), mode="area"))
    return Split(x=x_NCSS, y=torch.from_numpy(rows.labels_N[chosen]))


def _pixels(rows: Rows, row: int, data: bytes | None, source: ImageSource) -> NDArray[np.uint8]:
    """Return an image, (H, W, C)."""
    if data is None:
        raise DataError(f"{rows.place(row)}: holds no image")
    mode = _MODES[source.num_channels]
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            if image.size != (source.size, source.size):
                raise DataError(
                    f"{rows.place(row)}: the image has {image.width} x {image.height} pixels; "
                    f"{source.option} has {source.size} x {source.size}"
                )
            is_plain = image.mode == mode
            pixels = np.asarray(image if is_plain else image.convert(mode))
    except UnidentifiedImageError as error:
        raise DataError(f"{rows.place(row)}: the image is neither PNG nor JPEG") from error
    except _BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{rows.place(row)}: the image is broken ({reason})") from error
    return pixels.reshape(source.size, source.size, source.num_channels)


def _standardise(splits: list[Split]) -> None:
    """Scale all parts in place to mean 0 and deviation 1 of each channel of the first."""
    over = (0, 2, 3)
    mean = splits[0].x.mean(over, keepdim=True)
    deviation = splits[0].x.std(over, keepdim=True)
    deviation[deviation == 0] = 1  # a channel of one value
    for split in splits:
        split.x.sub_(mean).div_(deviation)
