"""Split labelled samples into train, validation and test.  N samples."""

import numpy as np
import torch
from torch import Tensor

from esper.contracts.data import DataSpec
from esper.contracts.errors import DataError
from esper.data.base import DataSet, Split
from esper.data.options import LabelledOptions


def stratified(labels_N: Tensor, options: LabelledOptions) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sorted indices of train, validation and test, stratified by class.

    Each class has `round(count * fraction)` samples in validation and in test.  NumPy's
    `RandomState`, whose stream is frozen, draws them: the split is the same on every machine.

    Raises:
        DataError: if a class has too few samples for all three parts.
    """
    random = np.random.RandomState(options.split_seed)
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    labels = labels_N.numpy()
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        num_val = round(len(members) * options.val_fraction)
        num_test = round(len(members) * options.test_fraction)
        if min(num_val, num_test, len(members) - num_val - num_test) < 1:
            raise DataError(
                f"data.val_fraction={options.val_fraction} and "
                f"data.test_fraction={options.test_fraction}: "
                f"the {len(members)} samples of class {label} do not reach all three parts"
            )
        cuts = np.split(members, [num_val, num_val + num_test])
        for part, chosen in zip(parts, (cuts[2], cuts[0], cuts[1]), strict=True):
            part.extend(chosen.tolist())
    train, val, test = (torch.tensor(sorted(part), dtype=torch.int64) for part in parts)
    return train, val, test


def standardised(spec: DataSpec, x: Tensor, y: Tensor, options: LabelledOptions) -> DataSet:
    """Return the data in three parts, standardised by mean and deviation of train.

    Args:
        spec: shape of a sample and number of classes.
        x: all samples, (N, *input_shape).
        y: their classes, (N,).
        options: `split_seed` and the fractions held out.
    """
    train, val, test = stratified(y, options)
    scaled = (x - x[train].mean()) / x[train].std()
    return DataSet(
        spec=spec,
        train=Split(x=scaled[train], y=y[train]),
        val=Split(x=scaled[val], y=y[val]),
        test=Split(x=scaled[test], y=y[test]),
    )
