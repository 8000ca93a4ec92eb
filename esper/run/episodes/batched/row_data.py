"""The data of the networks of a stack, padded to the most samples.

Shapes: R rows, N samples, B samples of a batch, T steps of an epoch, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from esper.data.base import Split
from esper.data.batches import batches
from esper.run.episodes.task import BATCH_SIZE, STEPS_PER_EPOCH
from esper.run.task import Task, epoch_seed


@dataclass(frozen=True, slots=True)
class Batches:
    """The batches of an epoch, one for each row and step.

    x, y: samples (R, T, B, F) and classes (R, T, B); a batch can have fewer samples than B.
    share: weight of each sample in the mean loss of its batch, 0 for padding, (R, T, B).
    sizes: samples of each batch, (R, T).
    """

    x: Tensor
    y: Tensor
    share: Tensor
    sizes: Tensor


class RowData:
    """Samples of each row: those to train on, to decide with, and to test.

    val_x, val_y, test_x, test_y: (R, N, F) and (R, N).
    """

    def __init__(self, runs: Sequence[Task]) -> None:
        self.runs = list(runs)
        self._most = max(len(run.data.train) for run in runs)
        self._train_x = torch.stack([_padded(run.data.train.x, self._most) for run in runs])
        self._train_y = torch.stack([_padded(run.data.train.y, self._most) for run in runs])
        self.val_x = torch.stack([run.data.val.x for run in runs])
        self.val_y = torch.stack([run.data.val.y for run in runs])
        self.test_x = torch.stack([run.data.test.x for run in runs])
        self.test_y = torch.stack([run.data.test.y for run in runs])

    def take(self, rows: Sequence[int]) -> None:
        """Keep some rows."""
        self.runs = [self.runs[row] for row in rows]
        for name in ("_train_x", "_train_y", "val_x", "val_y", "test_x", "test_y"):
            setattr(self, name, getattr(self, name)[list(rows)])

    def batches(self, epoch: int) -> Batches:
        """Return the batches on which a run of each row trains in an epoch, counted from 1."""
        orders = [_order(len(run.data.train), run.rng_seed, epoch) for run in self.runs]
        index = torch.stack([order for order, _ in orders])
        sizes = torch.stack([size for _, size in orders])
        rows = torch.arange(len(self.runs))[:, None, None]
        is_there = torch.arange(BATCH_SIZE) < sizes[:, :, None]
        return Batches(
            x=self._train_x[rows, index],
            y=self._train_y[rows, index],
            share=is_there / sizes[:, :, None],
            sizes=sizes,
        )


@lru_cache(maxsize=1024)
def _order(num_samples: int, rng_seed: int, epoch: int) -> tuple[Tensor, Tensor]:
    """Return the samples of each batch of an epoch (T, B), padded by 0, and their numbers (T,)."""
    numbers = torch.arange(num_samples)
    generator = torch.Generator().manual_seed(epoch_seed(rng_seed, epoch))
    drawn = batches(Split(x=numbers, y=numbers), BATCH_SIZE, generator, STEPS_PER_EPOCH)
    order = [batch for batch, _ in drawn]
    padded = torch.stack([_padded(batch, BATCH_SIZE) for batch in order])
    return padded, torch.tensor([len(batch) for batch in order])


def _padded(tensor: Tensor, length: int) -> Tensor:
    missing = length - len(tensor)
    return torch.cat([tensor, tensor.new_zeros(missing, *tensor.shape[1:])])
