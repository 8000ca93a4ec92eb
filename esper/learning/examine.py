"""What else a network says of actions: which slots moved it, and how sure it is."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from esper.learning.situation import WAIT, Judge, Situation, collate

SAMPLES = 10
"""Passes with dropout that state an uncertainty."""
NAMED = 2
"""Slots that a reason names."""


def speaking_slots(
    judge: Judge, situation: Situation, actions: Sequence[int]
) -> list[list[tuple[int, float]]]:
    """Return, for each action, the slots that moved its rank over waiting most, and their parts.

    A part, in logits, is the gradient times the difference of a slot's row from the mean of all
    (Shrikumar et al. 2017), of any slot in the graph; there is none where the graph has no say.
    """
    nodes = situation.nodes.clone().requires_grad_()
    with torch.enable_grad():
        ranks = judge(collate([replace(situation.only(*actions), nodes=nodes)])).ranks[0]
        leads = ranks[1:] - ranks[WAIT]
        gradients = [
            torch.autograd.grad(lead, nodes, retain_graph=True, allow_unused=True)[0]
            for lead in leads
        ]
    distances = (nodes - nodes.mean(0)).detach()
    return [[] if each is None else _largest((each * distances).sum(1)) for each in gradients]


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
