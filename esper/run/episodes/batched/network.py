"""The forward pass of many dense hosts with their kernels.

Shapes: R rows (networks), S samples, F features of a sample, W features between the blocks, C
classes, P numbers of a host.  Rows are sorted by their number of slots, the most first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, gelu

from esper.run.episodes.batched.flat import HOST_SIZES, MAX_CLASSES, MAX_SLOTS, W
from esper.run.episodes.batched.kernels import PlaceKernels
from esper.run.episodes.data import FEATURES
from esper.run.episodes.task import HIDDEN, EpisodeTask


@dataclass(frozen=True, slots=True)
class Shapes:
    """What tells the networks of the rows apart, besides their weights.

    slots: number of slots of each row, descending.
    residual: 1 where the block of a place is residual, (R, `MAX_SLOTS`, 1, 1).
    barred: minus infinity for the classes that a task does not have, else 0, (R, 1, C).
    """

    slots: tuple[int, ...]
    residual: Tensor
    barred: Tensor

    @classmethod
    def of(cls, tasks: Sequence[EpisodeTask]) -> "Shapes":
        """Return the shapes of the hosts of tasks."""
        residual = torch.zeros(len(tasks), MAX_SLOTS, 1, 1)
        barred = torch.zeros(len(tasks), 1, MAX_CLASSES)
        for row, task in enumerate(tasks):
            residual[row, : task.num_slots, 0, 0] = torch.tensor(task.residual)
            barred[row, 0, task.classes :] = -torch.inf
        return cls(tuple(task.num_slots for task in tasks), residual, barred)

    def take(self, rows: Sequence[int]) -> "Shapes":
        """Return the shapes of some rows, in ascending order; rows may repeat."""
        slots = tuple(self.slots[row] for row in rows)
        return Shapes(slots, self.residual[list(rows)], self.barred[list(rows)])

    def num_rows(self, place: int) -> int:
        """Return how many rows, the first ones, have a block at a place."""
        return sum(slots > place for slots in self.slots)


def logits(
    weights: Tensor, x: Tensor, shapes: Shapes, kernels: Mapping[int, PlaceKernels]
) -> Tensor:
    """Return the logits (R, S, C) of all rows.

    Args:
        weights: of the hosts, (R, P).
        x: samples of each row, (R, S, F).
        shapes: of the hosts.
        kernels: of each place that has some.
    """
    parts = torch.split(weights, HOST_SIZES, dim=1)
    h = torch.baddbmm(parts[1][:, None], x, parts[0].view(-1, FEATURES, W))
    ended = []
    for place in range(shapes.slots[0]):
        num = shapes.num_rows(place)
        if num < len(h):
            ended.append(h[num:])
            h = h[:num]
        block = parts[2 + 4 * place : 6 + 4 * place]
        if num < len(weights):
            block = tuple(part[:num] for part in block)
        first, bias, last, last_bias = block
        hidden = gelu(torch.baddbmm(bias[:, None], h, first.view(num, W, HIDDEN)))
        y = torch.baddbmm(last_bias[:, None], hidden, last.view(num, HIDDEN, W))
        y = torch.addcmul(y, h, shapes.residual[:num, place])
        h = kernels[place].add(y, h) if place in kernels else y
    h = torch.cat([h, *reversed(ended)]) if ended else h
    out = torch.baddbmm(parts[-1][:, None], h, parts[-2].view(-1, W, MAX_CLASSES))
    return out + shapes.barred


def sample_losses(out: Tensor, y: Tensor) -> Tensor:
    """Return the cross-entropy of each sample (R, S), from logits (R, S, C) and classes (R, S)."""
    flat = cross_entropy(out.flatten(0, 1), y.flatten(), reduction="none")
    return flat.view(y.shape)
