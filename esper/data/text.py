"""Data for a character language model: a text file, or the standard library's help topics."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from esper.contracts.checks import require
from esper.contracts.errors import DataError
from esper.data.options import HeldOutTest

if TYPE_CHECKING:
    from esper.data.base import DataSet


@dataclass(frozen=True)
class Text(HeldOutTest):
    """Windows of characters; the target at each position is the next character.

    The text is cut into three contiguous parts: train, validation, test.  Characters that do not
    occur in train share class 0.

    path: a text file in UTF-8; None for `pydoc_data.topics`, which depends on Python's version.
    context: characters in a window; a window is a sample.
    max_characters: characters read from the start of the text; None for all.
    max_windows: limit of the windows of all parts together, so that epochs are short; they are
        evenly spaced in the text; None for all.
    """

    val_fraction: float = 0.1
    test_fraction: float = 0.1
    path: str | None = None
    context: int = 64
    max_characters: int | None = 2_000_000
    max_windows: int | None = 1280

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.path is not None and not self.path.strip():
            raise ValueError(f"data.path must name a text file or be null, got {self.path!r}")
        require(self.context >= 1, "data.context", ">= 1", self.context)
        for key, least in (("max_characters", 1), ("max_windows", 3)):
            value = getattr(self, key)
            require(value is None or value >= least, f"data.{key}", f"null or >= {least}", value)

    def load(self) -> "DataSet":
        """Return the windows; raises `DataError` if the text is unreadable or too short."""
        from esper.data.windows import cut_windows

        text, source = self._read()
        try:
            return cut_windows(
                text,
                context=self.context,
                val_fraction=self.val_fraction,
                test_fraction=self.test_fraction,
                max_windows=self.max_windows,
            )
        except ValueError as error:
            raise DataError(f"{source}: {error}") from error

    def _read(self) -> tuple[str, str]:
        """Return the text and the name of its source for messages."""
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
