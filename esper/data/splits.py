"""Part labelled samples into train, validation and test.  N samples."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from esper.contracts.data import DataSpec
from esper.contracts.errors import DataError
from esper.data.base import DataSet, Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How much of the data is held out, and which: `split_seed` fixes who goes where."""

    val_fraction: float
    test_fraction: float
    split_seed: int


def stratified(labels_N: Tensor, shares: Shares) -> tuple[Tensor, Tensor, Tensor]:
    """Return the indices of train, validation and test, sorted; each class is parted alike.

    Every class gives `round(count * fraction)` samples to validation and to test.  The order comes
    from numpy's `RandomState`, whose stream is frozen: the same split on every machine.  Raises
    `DataError` when a class has too few samples to be in all three.
    """
    random = np.random.RandomState(shares.split_seed)
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    labels = labels_N.numpy()
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        num_val = round(len(members) * shares.val_fraction)
        num_test = round(len(members) * shares.test_fraction)
        if min(num_val, num_test, len(members) - num_val - num_test) < 1:
            raise DataError(
                f"data.val_fraction={shares.val_fraction} and "
                f"data.test_fraction={shares.test_fraction}: "
                f"the {len(members)} samples of class {label} do not reach all three parts"
            )
        cuts = np.split(members, [num_val, num_val + num_test])
        for part, chosen in zip(parts, (cuts[2], cuts[0], cuts[1]), strict=True):
            part.extend(chosen.tolist())
    train, val, test = (torch.tensor(sorted(part), dtype=torch.int64) for part in parts)
    return train, val, test


def standardised(spec: DataSpec, x: Tensor, y: Tensor, shares: Shares) -> DataSet:
    """Return the data in three parts, shifted and scaled by mean and deviation of train alone.

    Args:
        spec: shape of a sample and number of classes.
        x: all samples, (N, *input_shape).
        y: their classes, (N,).
        shares: what is held out.
    """
    train, val, test = stratified(y, shares)
    scaled = (x - x[train].mean()) / x[train].std()
    return DataSet(
        spec=spec,
        train=Split(x=scaled[train], y=y[train]),
        val=Split(x=scaled[val], y=y[val]),
        test=Split(x=scaled[test], y=y[test]),
    )
