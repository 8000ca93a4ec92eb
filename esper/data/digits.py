"""Handwritten digits of 8 by 8 pixels, bundled with scikit-learn."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from esper.contracts.data import DataSpec, InputKind
from esper.data.checks import check_batch_size, check_fractions, check_split_seed

if TYPE_CHECKING:
    from esper.data.base import DataSet


@dataclass(frozen=True)
class Digits:
    """1,797 images of shape (1, 8, 8) in 10 classes; needs no download.

    batch_size: samples a training step.
    split_seed: fixes which samples are held out, apart from `rng_seed`.
    val_fraction, test_fraction: shares of each class held out.
    """

    batch_size: int = 32
    split_seed: int = 0
    val_fraction: float = 0.2
    test_fraction: float = 0.2

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size)
        check_split_seed(self.split_seed)
        check_fractions(self.val_fraction, self.test_fraction)

    def load(self) -> "DataSet":
        """Return the digits, pixels of mean 0 and deviation 1 over the training images."""
        import torch
        from sklearn.datasets import load_digits

        from esper.data.splits import Shares, standardised

        bunch = load_digits()
        x = torch.tensor(bunch.images, dtype=torch.float32).unsqueeze(1)
        y = torch.tensor(bunch.target, dtype=torch.int64)
        shares = Shares(
            val_fraction=self.val_fraction,
            test_fraction=self.test_fraction,
            split_seed=self.split_seed,
        )
        spec = DataSpec(kind=InputKind.IMAGE, input_shape=(1, 8, 8), num_classes=10)
        return standardised(spec, x, y, shares)
