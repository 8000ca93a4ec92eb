"""What else a network says of actions: which slots moved it, and how sure it is."""

from collections.abc import Sequence

import torch
from torch import Tensor

from esper.learning.situation import Judge, Scores, Situation, collate

SAMPLES = 10
"""Passes with dropout that state an uncertainty."""
NAMED = 2
"""Slots that a reason names."""


def speaking_slots(nodes: Tensor, scores: Scores, action: int) -> list[tuple[int, float]]:
    """Return the slots that moved an action's score over waiting most, and their parts.

    A part, in logits, is the gradient times the difference of a slot's row from the mean of all
    (Shrikumar et al. 2017), of any slot in the graph; there is none where the graph has no say.

    Args:
        nodes: (S, C), rows of a situation, which require a gradient.
        scores: of that situation alone, computed from them.
        action: not to wait.
    """
    with torch.enable_grad():
        lead = scores.offers[action - 1] - scores.waits[0]
    (slope,) = torch.autograd.grad(lead, nodes, retain_graph=True, allow_unused=True)
    if slope is None:
        return []
    return _largest((slope * (nodes - nodes.mean(0))).sum(1).detach())


def _largest(parts_S: Tensor) -> list[tuple[int, float]]:
    """Return the slots of the largest parts, without those that have none."""
    order = parts_S.abs().argsort(descending=True, stable=True)[:NAMED]
    return [(int(place), float(parts_S[place])) for place in order if parts_S[place]]


def spreads(judge: Judge, situation: Situation, actions: Sequence[int]) -> list[float]:
    """Return the standard deviations of actions' ranks over waiting, over `SAMPLES` dropouts."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        ranks: Tensor = judge(collate([situation.only(*actions)] * SAMPLES), generator).ranks
    found: list[float] = (ranks[:, 1:] - ranks[:, :1]).std(0).tolist()
    return found
