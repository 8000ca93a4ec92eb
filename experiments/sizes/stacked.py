"""Train one host from several rng seeds at once, as one tensor program.

Each seed has the weights, the order of data and the averaged network that `esper train` gives it
with `policy=never training.schedule=constant`; a test holds the two against each other.  Small
hosts so train many times faster, because a step costs little more for twenty of them than for one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from esper.config import RunConfig
from esper.data.base import DataSet, Split
from esper.data.batches import batches
from esper.growth.average import SHARE
from esper.run.task import EVALUATION_BATCH, epoch_seed
from esper.training.optimizer import build_optimizer

Tensors = dict[str, Tensor]


@dataclass
class Best:
    """The averaged networks of the lowest validation loss so far.

    losses: (S,), on the validation split.  tests, hits: (S,), mean loss and share of right answers
        of these networks on the test split.
    """

    losses: Tensor
    tests: Tensor
    hits: Tensor


@dataclass
class Stack:
    """Hosts of one architecture, one for each rng seed.

    config: of a run; its rng seed gives way to those of `seeds`.
    flops: of a training step, forward and backward, a sample.
    best: None before the first epoch.
    improved: last epoch in which the network of some seed was better than before.
    """

    config: RunConfig
    data: DataSet
    seeds: tuple[int, ...]
    best: Best | None = None
    epoch: int = 0
    improved: int = 0
    _tensors: Tensors = field(default_factory=dict)

    def __post_init__(self) -> None:
        hosts = []
        for seed in self.seeds:
            torch.manual_seed(seed)
            hosts.append(self.config.model.build(self.data.spec))
        self.host: nn.Module = hosts[0].train()
        parameters, buffers = stack_module_state(hosts)
        if buffers:
            raise ValueError("hosts with buffers are not stacked")
        self._tensors = {name: each.detach().requires_grad_() for name, each in parameters.items()}
        self._mean = {name: each.detach().clone() for name, each in parameters.items()}
        self._waiting = 0.0
        holder = nn.ParameterList(nn.Parameter(each) for each in self._tensors.values())
        self.optimizer = build_optimizer(holder, self.config.training)
        self._tensors = dict(zip(self._tensors, holder, strict=True))

    @property
    def num_steps(self) -> int:
        """Steps of an epoch."""
        size: int = self.config.data.batch_size
        return -(-len(self.data.train) // size)

    def train(self) -> None:
        """Train an epoch, and keep the best averaged networks."""
        self.epoch += 1
        drawn = [self._batches(seed) for seed in self.seeds]
        for parts in zip(*drawn, strict=True):
            x, y = (torch.stack(each) for each in zip(*parts, strict=True))
            losses_S = self._losses(self._tensors, x, y)
            self.optimizer.zero_grad()
            torch.autograd.backward(losses_S.sum())
            self._clip()
            self.optimizer.step()
            self._average()
        self._catch_up()
        self._keep_best()

    def _batches(self, seed: int) -> list[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(epoch_seed(seed, self.epoch))
        return list(batches(self.data.train, self.config.data.batch_size, generator))

    def _losses(self, tensors: Tensors, x: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of each host on a batch of its own, (S,)."""

        def loss(own: Tensors, x_B: Tensor, y_B: Tensor) -> Tensor:
            logits = functional_call(self.host, own, (x_B,))
            return functional.cross_entropy(logits.flatten(0, -2), y_B.flatten())

        with sdpa_kernel(SDPBackend.MATH):  # the other kernels know no stacks
            found: Tensor = vmap(loss)(tensors, x, y)
        return found

    def _clip(self) -> None:
        most = self.config.training.clip_norm
        if most <= 0:
            return
        grads = [each.grad for each in self._tensors.values() if each.grad is not None]
        norms_S = torch.stack([grad.flatten(1).norm(dim=1) for grad in grads]).norm(dim=0)
        factors_S = (most / (norms_S + 1e-6)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(factors_S.view(-1, *[1] * (grad.dim() - 1)))

    def _average(self) -> None:
        """Count a step for the averages, as `WeightAverage.update` does."""
        # The run learns how many steps an epoch has from its first one.
        steps = self.num_steps if self.epoch > 1 else 1
        length = self.config.run.average
        weight = min(1.0, 1 / (length * steps)) if length else 1.0
        self._waiting += (1 - self._waiting) * weight
        if self._waiting >= SHARE:
            self._catch_up()

    @torch.no_grad()
    def _catch_up(self) -> None:
        weight, self._waiting = self._waiting, 0.0
        if weight:
            now = [each.detach() for each in self._tensors.values()]
            torch._foreach_lerp_(list(self._mean.values()), now, weight)

    def _keep_best(self) -> None:
        losses_S = self._scores(self.data.val)[0]
        if self.best is None:
            infinite = torch.full((len(self.seeds),), math.inf)
            self.best = Best(infinite, infinite.clone(), infinite.clone())
        better_S = losses_S <= self.best.losses
        if not bool(better_S.any()):
            return
        self.improved = self.epoch
        tests_S, hits_S = self._scores(self.data.test)
        for name, new in (("losses", losses_S), ("tests", tests_S), ("hits", hits_S)):
            setattr(self.best, name, torch.where(better_S, new, getattr(self.best, name)))

    @torch.no_grad()
    def _scores(self, split: Split) -> tuple[Tensor, Tensor]:
        """Return the mean loss and the share of right answers of the averaged hosts, (S,) each."""
        self.host.eval()

        def scores(own: Tensors, x_B: Tensor) -> Tensor:
            logits: Tensor = functional_call(self.host, own, (x_B,))
            return logits

        each_sample: Callable[..., Tensor] = vmap(scores, in_dims=(0, None))
        losses, hits = [], []
        for x_B, y_B in batches(split, EVALUATION_BATCH):
            with sdpa_kernel(SDPBackend.MATH):
                logits = each_sample(self._mean, x_B)
            answers = y_B.expand(len(self.seeds), *y_B.shape)
            flat = functional.cross_entropy(
                logits.flatten(0, -2), answers.flatten(), reduction="none"
            ).view(answers.shape)
            losses.append(flat.flatten(2).mean(2) if flat.dim() > 2 else flat)
            right = (logits.argmax(-1) == answers).float()
            hits.append(right.flatten(2).mean(2) if right.dim() > 2 else right)
        self.host.train()
        return torch.cat(losses, 1).mean(1), torch.cat(hits, 1).mean(1)
