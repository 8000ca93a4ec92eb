"""A data set in memory and its parts.  N samples."""

from dataclasses import dataclass

import torch
from torch import Tensor

from esper.contracts.data import DataSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Samples with their classes.

    x: (N, *input_shape).
    y: class of each sample, (N,), or of each position, (N, positions); int64.
    """

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.x)

    def to(self, device: torch.device | str) -> "Split":
        """Return the same samples on another device."""
        return Split(x=self.x.to(device), y=self.y.to(device))


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """Disjoint parts: `train` to train on, `val` for decisions, `test` for the final evaluation."""

    spec: DataSpec
    train: Split
    val: Split
    test: Split

    def to(self, device: torch.device | str) -> "DataSet":
        """Return the same data on another device."""
        return DataSet(
            spec=self.spec,
            train=self.train.to(device),
            val=self.val.to(device),
            test=self.test.to(device),
        )
