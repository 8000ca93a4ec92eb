"""Train and evaluate many networks as one tensor program.

Shapes: R rows (networks), K kernels, P numbers of a host, Q of a kernel, T steps of an epoch,
S samples, C classes.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from esper.run.episodes.batched.adam import AdamRows
from esper.run.episodes.batched.kernels import Gates, KernelKey, KernelPool, Placed, PlaceKernels
from esper.run.episodes.batched.network import Shapes, logits, sample_losses
from esper.run.episodes.batched.row_data import Batches
from esper.training.options import Training


@dataclass(frozen=True, slots=True)
class EpochRates:
    """What each step of an epoch does: learning rates of rows and kernels, and kernels' gates.

    hosts, kernels: for each step, the rows or kernels that learn at each rate.
    gates: for each step, how the kernels take part.
    """

    hosts: list[Mapping[float, list[int]]]
    kernels: list[Mapping[float, list[int]]]
    gates: list[Gates]


@dataclass(frozen=True, slots=True)
class EpochNumbers:
    """Results of an epoch of training.

    losses: mean loss of each row's batches, (R, T).
    hits: right answers in each, (R, T).
    is_finite: whether loss and gradient of a row were finite in all steps, (R,).
    norms: norms of the kernels' clipped gradients, (T, K).
    """

    losses: Tensor
    hits: Tensor
    is_finite: Tensor
    norms: Tensor


class Stack:
    """Networks of one shape, but for their depth: weights, moments and averages.

    weights, mean, best: (R, P); now, averaged over the last epoch, and averaged at the best one.
    pool: their kernels.

    Args:
        weights: of the untrained hosts.
        shapes: of the hosts.
        frozen: by row, the part of its weights that does not learn.
        training: options of training that all rows share.
    """

    def __init__(
        self,
        weights: Tensor,
        shapes: Shapes,
        frozen: Mapping[int, tuple[int, int]],
        training: Training,
    ) -> None:
        self.weights, self.shapes, self.frozen, self.training = weights, shapes, frozen, training
        self.mean, self.best = weights.clone(), weights.clone()
        self.first, self.second = torch.zeros_like(weights), torch.zeros_like(weights)
        self.steps = torch.zeros(len(weights), dtype=torch.float32)  # as torch's fused steps need
        self.pool = KernelPool()

    def train(self, batches: Batches, rates: EpochRates, share: float) -> EpochNumbers:
        """Train an epoch; `share` is the weight of each step's weights in the average."""
        hosts = AdamRows(
            self.weights,
            self.first,
            self.second,
            self.steps,
            weight_decay=self.training.weight_decay,
            frozen=self.frozen,
        )
        pool = self.pool
        kernels = AdamRows(pool.weights, pool.first, pool.second, pool.steps)
        losses, hits, norms = [], [], []
        is_finite = torch.ones(len(self.weights), dtype=torch.bool)
        for step in range(batches.x.shape[1]):
            y, weight = batches.y[:, step], batches.share[:, step]
            out, loss, grads = self._gradients(batches.x[:, step], y, weight, rates.gates[step])
            host_norms = hosts.take(grads[0], self.training.clip_norm)
            is_finite &= loss.isfinite() & host_norms.isfinite()
            hosts.step(rates.hosts[step])
            self.mean.lerp_(self.weights, share)
            if pool.keys:
                norms.append(kernels.take(grads[1], self.training.clip_norm))
                kernels.step(rates.kernels[step])
                pool.mean.lerp_(pool.weights, share)
            losses.append(loss)
            hits.append(((out.argmax(-1) == y) & (weight > 0)).sum(1))
        return EpochNumbers(
            losses=torch.stack(losses, 1),
            hits=torch.stack(hits, 1),
            is_finite=is_finite,
            norms=torch.stack(norms) if norms else torch.zeros(len(losses), 0),
        )

    def _gradients(
        self, x: Tensor, y: Tensor, share: Tensor, gates: Gates
    ) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
        """Return logits, mean losses (R,), and the gradients of hosts and of kernels, if any."""
        leaves = [self.weights.detach().requires_grad_()]
        kernels: Mapping[int, PlaceKernels] = {}
        if self.pool.keys:
            leaves.append(self.pool.weights.detach().requires_grad_())
            kernels = self.pool.placed.cut(leaves[1], gates)
        out = logits(leaves[0], x, self.shapes, kernels)
        loss = (sample_losses(out, y) * share).sum(1)
        return out.detach(), loss.detach(), torch.autograd.grad(loss.sum(), leaves)

    @torch.no_grad()
    def scores(
        self,
        x: Tensor,
        y: Tensor,
        asked: Sequence[tuple[int, Mapping[KernelKey, float]]],
        *,
        at_best: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Return losses and hits (asked, S) of averaged networks, each with some of its kernels.

        Args:
            x, y: samples (asked, S, F) and their classes (asked, S).
            asked: for each network its row, and the blend factors of its kernels; rows ascend.
            at_best: whether the averages of the best epoch are evaluated, not the present ones.
        """
        rows = [row for row, _ in asked]
        pool = self.pool
        found = sorted(
            (key, index, alpha)
            for index, (_, alphas) in enumerate(asked)
            for key, alpha in alphas.items()
        )
        kernels: Mapping[int, PlaceKernels] = {}
        if found:
            placed = Placed([key for key, _, _ in found], [index for _, index, _ in found])
            at = pool.index()
            weights = (pool.best if at_best else pool.mean)[[at[key] for key, _, _ in found]]
            out = torch.tensor([alpha for _, _, alpha in found])[:, None, None]
            kernels = placed.cut(weights, Gates(out, out, out))
        hosts = (self.best if at_best else self.mean)[rows]
        found_logits = logits(hosts, x, self.shapes.take(rows), kernels)
        return sample_losses(found_logits, y), (found_logits.argmax(-1) == y).to(x.dtype)

    def keep_best(self, rows: Iterable[int], kernels: Iterable[KernelKey]) -> None:
        """Keep the averages of some rows, and of some kernels, as the best ones."""
        chosen, at = list(rows), self.pool.index()
        self.best[chosen] = self.mean[chosen]
        places = [at[key] for key in kernels]
        self.pool.best[places] = self.pool.mean[places]

    def take(self, rows: Sequence[int]) -> None:
        """Keep some rows, in ascending order."""
        self.shapes = self.shapes.take(rows)
        for name in ("weights", "mean", "best", "first", "second", "steps"):
            setattr(self, name, getattr(self, name)[list(rows)])
        new = {row: number for number, row in enumerate(rows)}
        self.frozen = {new[row]: part for row, part in self.frozen.items() if row in new}
        self.pool.renumber(new)


def by_rate(rates: Iterable[tuple[int, float]]) -> dict[float, list[int]]:
    """Return the numbers that have each rate."""
    groups: dict[float, list[int]] = defaultdict(list)
    for number, rate in rates:
        groups[rate].append(number)
    return dict(groups)
