"""The facts of a data set that a model is built for."""

from dataclasses import dataclass
from enum import StrEnum


class InputKind(StrEnum):
    """What a sample is.  B batch."""

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
