"""The keys that image sets in Parquet files share, and what sets such a set apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import ClassVar

from esper.contracts.checks import require
from esper.contracts.errors import ConfigError
from esper.data.options import SplitSeed


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSource:
    """An image set on the Hugging Face hub, and the form of its rows.

    option: the override that chooses it, for messages.
    repo: its repository on the hub.
    image_columns: names that the column of encoded images may have.
    label_column: name of the column of classes, whole numbers from 0.
    num_channels: 3 for colour, 1 for grey.
    size: pixels a side.
    """

    option: str
    repo: str
    label_column: str = "label"
    image_columns: tuple[str, ...] = ("img", "image")
    num_channels: int = 3
    size: int = 32
    num_classes: int = 10


@dataclass(frozen=True)
class ImageOptions(SplitSeed):
    """The fields of an image set with training and test files; a subclass names its source.

    path: a folder of `train-*.parquet` and `test-*.parquet`, or one training file with test files
        beside it; None for the hub.
    max_samples: limit of the training images before the split, the same share of each class; None
        for all.  The test images are always all, so that runs of any limit compare.
    image_size: pixels a side, made by averaging; None for the size in the files.
    """

    source: ClassVar[ImageSource]

    path: str | None = None
    max_samples: int | None = None
    image_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.path is not None and not self.path.strip():
            raise ValueError(
                f"data.path must name a folder of Parquet files or be null, got {self.path!r}"
            )
        # A sample of each class to train on, and one to decide by.
        least, most = 2 * self.source.num_classes, self.max_samples
        require(most is None or most >= least, "data.max_samples", f"null or >= {least}", most)
        size, largest = self.image_size, self.source.size
        valid = size is None or 1 <= size <= largest
        require(valid, "data.image_size", f"null or in [1, {largest}]", size)

    @property
    def size(self) -> int:
        """Pixels a side of the images that are loaded."""
        return self.image_size or self.source.size

    def require_libraries(self) -> None:
        """Raise `ConfigError` if a library of the extra `data` is missing that is needed."""
        needed: Sequence[str] = ["pyarrow", "PIL", *([] if self.path else ["datasets"])]
        if any(find_spec(name) is None for name in needed):
            raise ConfigError(
                f"{self.source.option} needs a library that is not installed: "
                "pip install 'esper-morph[data]'"
            )
