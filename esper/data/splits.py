"""Split labelled samples into train, validation and test.  N samples."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from esper.contracts.data import DataSpec
from esper.contracts.errors import DataError
from esper.data.base import DataSet, Split
from esper.data.options import LabelledOptions

_ALL = {2: "both", 3: "all three"}


def stratified(
    labels_N: Tensor, held_out: Mapping[str, float], split_seed: int
) -> tuple[Tensor, ...]:
    """Return the sorted indices of train and of each part held out, stratified by class.

    Each class has `round(count * fraction)` samples in a part held out.  NumPy's `RandomState`,
    whose stream is frozen, draws them: the split is the same on every machine.

    Args:
        labels_N: class of each sample.
        held_out: fraction of each part held out, by the name of its key in the `data` group.
        split_seed: seed of the draw.

    Raises:
        DataError: if a class has too few samples for all parts.
    """
    random = np.random.RandomState(split_seed)
    labels = labels_N.numpy()
    parts: list[list[int]] = [[] for _ in range(1 + len(held_out))]
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        sizes = [round(len(members) * fraction) for fraction in held_out.values()]
        if min(*sizes, len(members) - sum(sizes)) < 1:
            shares = " and ".join(f"data.{key}={value}" for key, value in held_out.items())
            raise DataError(
                f"{shares}: the {len(members)} samples of class {label} do not reach "
                f"{_ALL[len(parts)]} parts"
            )
        *held, rest = np.split(members, np.cumsum(sizes))
        for part, chosen in zip(parts, (rest, *held), strict=True):
            part.extend(chosen.tolist())
    return tuple(torch.tensor(sorted(part), dtype=torch.int64) for part in parts)


def stratified_subset(labels_N: Tensor, most: int, split_seed: int) -> Tensor:
    """Return the sorted indices of at most `most` samples, with the classes' shares kept.

    Each class has its share of `most`, rounded down or up so that the sum is exact.
    """
    # The second number makes the stream differ from that of the split.
    random = np.random.RandomState([split_seed, 1])
    labels = labels_N.numpy()
    classes, counts = np.unique(labels, return_counts=True)
    whole, remainders = np.divmod(counts * min(most, len(labels)), len(labels))
    by_remainder = np.argsort(-remainders, kind="stable")
    whole[by_remainder[: min(most, len(labels)) - whole.sum()]] += 1
    chosen = [
        random.permutation(np.flatnonzero(labels == label))[:quota]
        for label, quota in zip(classes, whole, strict=True)
    ]
    return torch.tensor(np.sort(np.concatenate(chosen)), dtype=torch.int64)


def standardised(spec: DataSpec, x: Tensor, y: Tensor, options: LabelledOptions) -> DataSet:
    """Return the data in three parts, standardised by mean and deviation of train.

    Args:
        spec: shape of a sample and number of classes.
        x: all samples, (N, *input_shape).
        y: their classes, (N,).
        options: `split_seed` and the fractions held out.
    """
    held_out = {"val_fraction": options.val_fraction, "test_fraction": options.test_fraction}
    train, val, test = stratified(y, held_out, options.split_seed)
    scaled = (x - x[train].mean()) / x[train].std()
    return DataSet(
        spec=spec,
        train=Split(x=scaled[train], y=y[train]),
        val=Split(x=scaled[val], y=y[val]),
        test=Split(x=scaled[test], y=y[test]),
    )
