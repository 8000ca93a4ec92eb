"""Properties of a data set that a model depends on."""

from dataclasses import dataclass
from enum import StrEnum


class InputKind(StrEnum):
    """Kind of a sample.  B batch."""

    VECTOR = "vector"  # (B, features), float
    IMAGE = "image"  # (B, channels, height, width), float
    TOKENS = "tokens"  # (B, positions), int64


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """Shape of a sample and number of classes.

    input_shape: shape of a sample, without the batch dimension.
    num_classes: number of classes; for tokens the size of the vocabulary, predicted per position.
    """

    kind: InputKind
    input_shape: tuple[int, ...]
    num_classes: int
