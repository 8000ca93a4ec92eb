"""What a network that decides where to grow reads, and what it says.

Shapes: B situations, S slots of one, N slots of all, E edges of the data flow, A offers of one
situation (germinations that it may ask for), T offers of all, L the most of one.  Action 0 is to
wait, action 1 + i to take the situation's offer i.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

WAIT = 0


@dataclass(frozen=True, slots=True, eq=False)
class Situation:
    """What is known when a policy may act.

    run: (R,), the state of the run.
    nodes: (S, C), a row a slot.
    edges, edge_rows: (2, E) slots by their rows in `nodes`, and (E, K).
    offers: (A, F), what is known of each germination.
    places: (A,), the row in `nodes` of each one's slot.
    seeds: (A,), which seed of its slot would germinate.
    values: (A,), what a gain model expects, in log loss; above 0 is better than to wait.
    doubts: (A,), its uncertainty in [0, 1].
    allowed: (A,), which of them can be asked for.
    """

    run: Tensor
    nodes: Tensor
    edges: Tensor
    edge_rows: Tensor
    offers: Tensor
    places: Tensor
    seeds: Tensor
    values: Tensor
    doubts: Tensor
    allowed: Tensor

    def only(self, *actions: int) -> "Situation":
        """Return the situation with the offers of these actions, which become actions 1, 2, ..."""
        rows = [action - 1 for action in actions]
        names = ("offers", "places", "seeds", "values", "doubts", "allowed")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def with_all(self) -> "Situation":
        """Return the situation in which every offer is allowed."""
        return replace(self, allowed=torch.ones_like(self.allowed))

    def without_slot(self, action: int) -> "Situation":
        """Return the situation in which no further offer of the action's slot is allowed."""
        return replace(self, allowed=self.allowed & (self.places != self.places[action - 1]))


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Situations, one after the other, as one graph that falls into parts.

    run: (B, R).  nodes, edges, edge_rows, offers, places, seeds, values, doubts, allowed: those of
        all, places and edges counted over all nodes: (N, C), (2, E), (E, K), (T, F), (T,) five
        times.
    node_rows, offer_rows: (N,), (T,), the situation of each node and offer.
    columns: (T,), the action of each offer.
    num_actions: 1 + L.
    """

    run: Tensor
    nodes: Tensor
    edges: Tensor
    edge_rows: Tensor
    offers: Tensor
    places: Tensor
    seeds: Tensor
    values: Tensor
    doubts: Tensor
    allowed: Tensor
    node_rows: Tensor
    offer_rows: Tensor
    columns: Tensor
    num_actions: int

    def table(self, waits_B: Tensor, offers_T: Tensor) -> Tensor:
        """Return numbers of actions as a table (B, 1 + L), -inf where no action is allowed."""
        table = waits_B.new_full((len(self.run), self.num_actions), -torch.inf)
        table[:, WAIT] = waits_B
        known = torch.where(self.allowed, offers_T, -torch.inf)
        return table.index_put((self.offer_rows, self.columns), known)

    def slots_mean(self, values_NH: Tensor) -> Tensor:
        """Return the means over the slots of each situation, (B, H)."""
        sums = values_NH.new_zeros(len(self.run), values_NH.shape[1])
        counts = torch.bincount(self.node_rows, minlength=len(self.run)).clamp(min=1)
        return sums.index_add(0, self.node_rows, values_NH) / counts[:, None]


def collate(situations: Sequence[Situation]) -> Batch:
    """Return a batch of at least one situation."""
    num_nodes = [len(each.nodes) for each in situations]
    num_offers = [len(each.offers) for each in situations]
    starts = torch.tensor([0, *num_nodes[:-1]]).cumsum(0).tolist()
    joined = {
        name: torch.cat([getattr(each, name) for each in situations])
        for name in ("nodes", "edge_rows", "offers", "seeds", "values", "doubts", "allowed")
    }
    rows = torch.arange(len(situations))
    return Batch(
        run=torch.stack([each.run for each in situations]),
        edges=torch.cat([s.edges + at for s, at in zip(situations, starts, strict=True)], 1),
        places=torch.cat([s.places + at for s, at in zip(situations, starts, strict=True)]),
        node_rows=rows.repeat_interleave(torch.tensor(num_nodes)),
        offer_rows=rows.repeat_interleave(torch.tensor(num_offers)),
        columns=torch.cat([1 + torch.arange(number) for number in num_offers]),
        num_actions=1 + max(num_offers),
        **joined,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What a network says of a batch.

    log_probs: (B, 1 + L), logarithms of the probabilities of all actions, -inf where not allowed.
    ranks: (B, 1 + L), by which the best action is the one to take without exploring.
    values: (B,), expected net gain of the rest of the run.
    risks: (T,), logits of the probability that a kernel is not kept.
    """

    log_probs: Tensor
    ranks: Tensor
    values: Tensor
    risks: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What a network says of a batch before it is asked which actions are allowed.

    waits: (B,), of waiting.  offers: (T,).  values, risks: as in `Judgement`.
    """

    waits: Tensor
    offers: Tensor
    values: Tensor
    risks: Tensor

    def detach(self) -> "Scores":
        """Return the same numbers, without what their gradients need."""
        every = (self.waits, self.offers, self.values, self.risks)
        return Scores(*(each.detach() for each in every))


class Judge(Protocol):
    """A network that judges situations."""

    def __call__(self, batch: Batch, generator: torch.Generator | None = None) -> Judgement:
        """Return a judgement; a generator draws the units that dropout leaves out, if given."""

    def scores(self, batch: Batch, generator: torch.Generator | None = None) -> Scores:
        """Return the scores, which do not depend on what is allowed."""

    def decide(self, batch: Batch, scores: Scores) -> Judgement:
        """Return the judgement by scores of the same offers."""
