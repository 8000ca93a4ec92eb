"""The keys that all options of the `data` group share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from esper.contracts.checks import require

if TYPE_CHECKING:
    from esper.data.base import DataSet

MAX_SEED = 2**32


@dataclass(frozen=True)
class DataOptions:
    """The fields that every data set has.

    batch_size: samples in a training step.
    val_fraction: fraction held out for decisions.
    """

    batch_size: int = 32
    val_fraction: float = 0.2

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "data.batch_size", ">= 1", self.batch_size)
        _require_fraction("val_fraction", self.val_fraction)

    def load(self) -> "DataSet":
        """Return the data; raises `DataError` if it is not available."""
        raise NotImplementedError


@dataclass(frozen=True)
class HeldOutTest(DataOptions):
    """The field of data that come without test samples of their own.

    test_fraction: fraction held out for the final evaluation.
    """

    test_fraction: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_fraction("test_fraction", self.test_fraction)
        held_out = self.val_fraction + self.test_fraction
        shares = f"{self.val_fraction} + {self.test_fraction}"
        require(held_out < 1, "data.val_fraction + data.test_fraction", "< 1", shares)


@dataclass(frozen=True)
class SplitSeed(DataOptions):
    """The field of data with a class for each sample; fractions hold for each class.

    split_seed: determines which samples are held out, independent of `rng_seed`.
    """

    split_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        valid = 0 <= self.split_seed < MAX_SEED
        require(valid, "data.split_seed", f"in [0, {MAX_SEED})", self.split_seed)


@dataclass(frozen=True)
class LabelledOptions(SplitSeed, HeldOutTest):
    """The fields of labelled samples, of which all three parts are drawn."""


def _require_fraction(key: str, fraction: float) -> None:
    require(0 < fraction < 1, f"data.{key}", "in (0, 1)", fraction)
