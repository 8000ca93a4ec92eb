"""Handwritten digits of 8 by 8 pixels, bundled with scikit-learn."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from esper.contracts.data import DataSpec, InputKind
from esper.data.options import LabelledOptions

if TYPE_CHECKING:
    from esper.data.base import DataSet


@dataclass(frozen=True)
class Digits(LabelledOptions):
    """1,797 images of shape (1, 8, 8) in 10 classes; needs no download."""

    def load(self) -> "DataSet":
        """Return the digits, scaled to mean 0 and deviation 1 of the training pixels."""
        import torch
        from sklearn.datasets import load_digits

        from esper.data.splits import standardised

        bunch = load_digits()
        x = torch.tensor(bunch.images, dtype=torch.float32).unsqueeze(1)
        y = torch.tensor(bunch.target, dtype=torch.int64)
        spec = DataSpec(kind=InputKind.IMAGE, input_shape=(1, 8, 8), num_classes=10)
        return standardised(spec, x, y, self)
