"""The base of networks that decide where to grow: scores first, then what they amount to."""

from abc import abstractmethod

import torch
from torch import nn

from esper.learning.situation import Batch, Judgement, Scores


class JudgeNet(nn.Module):
    """A network that gives actions scores, and takes them by these."""

    @abstractmethod
    def scores(self, batch: Batch, generator: torch.Generator | None = None) -> Scores:
        """Return the scores; a generator draws the units that dropout leaves out, if given."""

    def decide(self, batch: Batch, scores: Scores) -> Judgement:
        """Return the judgement by scores; what is not allowed has no part in it."""
        ranks = batch.table(scores.waits, scores.offers)
        return Judgement(ranks.log_softmax(1), ranks, scores.values, scores.risks)

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> Judgement:
        """Return the judgement of a batch."""
        return self.decide(batch, self.scores(batch, generator))
