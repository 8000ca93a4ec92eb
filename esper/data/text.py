"""A character language model's data: a text file, or the help topics of the standard library."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from esper.contracts.errors import DataError
from esper.data.checks import check_batch_size, check_fractions

if TYPE_CHECKING:
    from esper.data.base import DataSet


@dataclass(frozen=True)
class Text:
    """Windows of characters; the answer at each position is the next character.

    The text is cut into three contiguous parts; validation and test follow train.  Characters that
    the train part does not hold share class 0.

    path: a text file in UTF-8; `pydoc_data.topics` (changes with Python's version) when None.
    batch_size: windows a training step.
    context: characters a window.
    val_fraction, test_fraction: shares of the text held out.
    max_characters: how much of the text is read; None for all of it.
    max_windows: windows in all three parts together, spread evenly over the text, so that an epoch
        stays short; None for all of them.
    """

    path: str | None = None
    batch_size: int = 32
    context: int = 64
    val_fraction: float = 0.1
    test_fraction: float = 0.1
    max_characters: int | None = 2_000_000
    max_windows: int | None = 1280

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size)
        check_fractions(self.val_fraction, self.test_fraction)
        if self.path is not None and not self.path.strip():
            raise ValueError(f"data.path must name a text file or be null, got {self.path!r}")
        if not self.context >= 1:
            raise ValueError(f"data.context must be >= 1, got {self.context}")
        for key, least in (("max_characters", 1), ("max_windows", 3)):
            value = getattr(self, key)
            if value is not None and not value >= least:
                raise ValueError(f"data.{key} must be null or >= {least}, got {value}")

    def load(self) -> "DataSet":
        """Return the windows; raises `DataError` when the text is missing, broken or too short."""
        from esper.data.windows import Cut, cut_windows

        text, source = self._read()
        cut = Cut(
            context=self.context,
            val_fraction=self.val_fraction,
            test_fraction=self.test_fraction,
            max_windows=self.max_windows,
        )
        try:
            return cut_windows(text, cut)
        except ValueError as error:
            raise DataError(f"{source}: {error}") from error

    def _read(self) -> tuple[str, str]:
        """Return the text and what to call its source in a message."""
        if self.path is None:
            return self._topics(), "pydoc_data.topics"
        source = f"data.path '{self.path}'"
        try:
            with open(os.path.expanduser(self.path), encoding="utf-8-sig") as file:
                return file.read(self.max_characters), source
        except UnicodeDecodeError as error:
            raise DataError(f"{source}: not UTF-8 text ({error.reason})") from error
        except (OSError, ValueError) as error:  # ValueError: a null byte in the path
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise DataError(f"{source}: cannot be read ({reason})") from error

    def _topics(self) -> str:
        try:
            from pydoc_data.topics import topics
        except ModuleNotFoundError as error:
            raise DataError(
                "pydoc_data.topics: this Python comes without it; give a text file as data.path"
            ) from error
        return "\n\n".join(topics[name] for name in sorted(topics))[: self.max_characters]
