"""A network that reads the host as a graph and scores every offer alike.

    h      = a node's row and the run's, after message passing along and against the data flow
    offer  = net gain / temperature + correction(h of its slot, mean h, offer)
    wait   = correction(mean h)

All corrections are 0 before learning: the network then acts as the gain model does.  One message
layer adds graph attention (GATv2; Brody et al. 2022) and graph convolution (Kipf and Welling 2017)
to a node's state, after layer normalisation.
"""

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional

from esper.learning.options import NetShape
from esper.learning.situation import Batch, Judgement, Scores
from esper.policy.networks.judge_net import JudgeNet
from esper.policy.networks.shape import Dropout, Head, InputSizes, Sharpness


class _Messages(nn.Module):
    """One layer of message passing with a residual connection."""

    def __init__(self, shape: NetShape, edge: int, dropout: float) -> None:
        super().__init__()
        with warnings.catch_warnings():
            # Its import calls functions of torch that are deprecated.
            warnings.simplefilter("ignore", DeprecationWarning)
            from torch_geometric.nn import GATv2Conv, GCNConv
        hidden, heads = shape.hidden, shape.heads
        self.norm = nn.LayerNorm(hidden)
        self.attend = GATv2Conv(
            hidden, hidden // heads, heads=heads, edge_dim=edge, add_self_loops=False
        )
        self.convolve = GCNConv(hidden, hidden)
        self.dropout = Dropout(dropout)

    def forward(
        self, h_NH: Tensor, edges: Tensor, edge_rows: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return the new states of the nodes."""
        normed = self.norm(h_NH)
        sent = self.attend(normed, edges, edge_rows) + self.convolve(normed, edges)
        left: Tensor = h_NH + self.dropout(functional.gelu(sent), generator)
        return left


class GraphNet(JudgeNet):
    """The network of `gnn`."""

    def __init__(self, sizes: InputSizes, shape: NetShape, dropout: float = 0.0) -> None:
        super().__init__()
        hidden = shape.hidden
        self.enter = nn.Linear(sizes.node + sizes.run, hidden)
        layers = (_Messages(shape, sizes.edge, dropout) for _ in range(shape.layers))
        self.layers = nn.ModuleList(layers)
        self.leave = nn.LayerNorm(hidden)
        self.sharpness = Sharpness()
        offer = 2 * hidden + sizes.offer
        self.offer = Head(offer, hidden, dropout)
        self.risk = Head(offer, hidden, dropout)
        self.wait = Head(hidden, hidden, dropout)
        self.value = Head(hidden, hidden, dropout)

    def scores(self, batch: Batch, generator: torch.Generator | None = None) -> Scores:
        """Return the scores of a batch."""
        h_NH = self.encode(batch, generator)
        mean_BH = batch.slots_mean(h_NH)
        offers = [h_NH[batch.places], mean_BH[batch.offer_rows], batch.offers]
        offers_T = torch.cat(offers, 1)
        scores_T = self.sharpness(batch.values) + self.offer(offers_T, generator)
        waits_B = self.wait(mean_BH, generator)
        values_B, risks_T = self.value(mean_BH, generator), self.risk(offers_T, generator)
        return Scores(waits_B, scores_T, values_B, risks_T)

    def encode(self, batch: Batch, generator: torch.Generator | None) -> Tensor:
        """Return the states of the nodes, (N, H)."""
        rows = torch.cat([batch.nodes, batch.run[batch.node_rows]], 1)
        h_NH = functional.gelu(self.enter(rows))
        for layer in self.layers:
            h_NH = layer(h_NH, batch.edges, batch.edge_rows, generator)
        left: Tensor = self.leave(h_NH)
        return left


class TwoLevelNet(GraphNet):
    """The network of `hierarchical`: first whether to grow now, then which offer to take.

    p(offer) = p(grow) softmax of the offers' scores,
    p(grow)  = sigmoid(best score - score of waiting)
    """

    def decide(self, batch: Batch, scores: Scores) -> Judgement:
        """Return the judgement by scores; what is not allowed has no part in it."""
        waits_B = scores.waits
        offers = batch.table(torch.full_like(waits_B, -torch.inf), scores.offers)
        best_B = offers.max(1).values
        can_grow = best_B.isfinite()
        grows_B = torch.where(can_grow, best_B - waits_B, 0.0)
        low = torch.where(can_grow[:, None], offers, 0.0).log_softmax(1)
        log_grow = torch.where(can_grow, functional.logsigmoid(grows_B), -torch.inf)
        log_wait = torch.where(can_grow, functional.logsigmoid(-grows_B), 0.0)
        log_probs = torch.where(offers.isfinite(), low + log_grow[:, None], -torch.inf)
        log_probs[:, 0] = log_wait
        ranks = batch.table(waits_B, scores.offers)
        return Judgement(log_probs, ranks, scores.values, scores.risks)
