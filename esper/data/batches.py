"""Cut a split into batches."""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from esper.contracts.checks import require
from esper.data.base import Split

Batch = tuple[Tensor, Tensor]


def batches(
    split: Split,
    batch_size: int,
    generator: torch.Generator | None = None,
    steps: int | None = None,
) -> Iterator[Batch]:
    """Return an iterator over batches of `(x, y)`; the last batch of a pass may be smaller.

    Args:
        split: the samples.
        batch_size: samples in a batch, at least 1.
        generator: shuffles each pass; without it the order is that of `split`.
        steps: number of batches, over as many passes as needed; None for exactly one pass.

    Raises:
        ValueError: if the split is empty, or `batch_size` or `steps` is under 1.
    """
    require(batch_size >= 1, "batch_size", ">= 1", batch_size)
    require(steps is None or steps >= 1, "steps", ">= 1", steps)
    if len(split) == 0:
        raise ValueError("a split without samples gives no batches")
    if steps is None:
        return _one_pass(split, batch_size, generator, len(split))
    return _passes(split, batch_size, generator, steps)


def _passes(
    split: Split, batch_size: int, generator: torch.Generator | None, steps: int
) -> Iterator[Batch]:
    while steps > 0:
        needed = steps * batch_size
        for batch in islice(_one_pass(split, batch_size, generator, needed), steps):
            yield batch
            steps -= 1


def _one_pass(
    split: Split, batch_size: int, generator: torch.Generator | None, needed: int
) -> Iterator[Batch]:
    x, y = split.x[:needed], split.y[:needed]
    if generator is not None:
        order = torch.randperm(len(split), generator=generator, device=generator.device)
        order = order[:needed].to(split.x.device)
        # One gather for the pass, then views: a gather for each batch costs more than a small step.
        x, y = split.x.index_select(0, order), split.y.index_select(0, order)
    yield from zip(torch.split(x, batch_size), torch.split(y, batch_size), strict=True)
