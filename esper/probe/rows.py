"""Take rows of a tensor: samples, or samples at single positions, in two halves of a batch.

Shapes: B samples, 2 halves, S rows of a half, F features.  The first half is that of the first
samples; the last of an odd number of samples is left out.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

NUM_ROWS = 256
"""Most rows of a half."""


def rows(value_B: Tensor, *, most_features: int, has_features_last: bool = True) -> Tensor:
    """Return rows (2, S, F) of a batch, evenly spaced, in float32 and without a graph.

    Args:
        value_B: (B, ..., features), or (B, features, ...) if the features are not last.
        most_features: F is at most this, and at least half of it where there are more.
        has_features_last: whether the last dimension is that of the features.
    """
    value = value_B.detach()
    if not has_features_last:
        value = value.movedim(1, -1)
    num = len(value) // 2
    value = value[: 2 * num].reshape(2, num, *value.shape[1:])
    value = value[..., :: -(-value.shape[-1] // most_features)]
    sizes = value.shape[1:-1]
    step = -(-sizes.numel() // NUM_ROWS)
    if step > 1:
        # Odd, because sizes are often even: an even step would meet the same columns in each line.
        index: list[slice | Tensor] = [slice(None), *_places(step | 1, sizes, value.device)]
        value = value[tuple(index)]
    taken: Tensor = value.reshape(2, -1, value.shape[-1]).float()
    return taken


def _places(step: int, sizes: Sequence[int], device: torch.device) -> list[Tensor]:
    """Return every `step`-th place of a tensor as an index of each of its dimensions.

    It is `torch.unravel_index`, which would take longer than the rest of a probe of small blocks.
    """
    places: list[Tensor] = []
    rest = torch.arange(0, math.prod(sizes), step, device=device)
    for size in reversed(sizes):
        places.append(rest % size)
        rest = rest // size
    return places[::-1]
