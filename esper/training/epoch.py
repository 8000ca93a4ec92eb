"""Train a model for one epoch.  Only the host's learning rate is set here; kernels follow it."""

import math
import time
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from esper.contracts.metrics import TrainReport
from esper.growth.groups import TAG, host_group
from esper.training.objective import mean_loss
from esper.training.options import Training
from esper.training.schedule import learning_rate_factor


class Epoch:
    """One epoch of a budget: where it begins, and how many steps it has."""

    def __init__(self, options: Training, epoch: int, epochs: int, num_steps: int) -> None:
        self.options = options
        self.begins = (epoch - 1) / epochs
        self.step_share = 1 / (epochs * num_steps)

    def learning_rate(self, step: int) -> float:
        """Return the host's learning rate at a step of this epoch, counted from 0."""
        progress = self.begins + step * self.step_share
        options = self.options
        return options.lr * learning_rate_factor(options.schedule, progress, options.grow_until)

    def train(
        self, model: nn.Module, optimizer: Optimizer, batches: Iterable[tuple[Tensor, Tensor]]
    ) -> TrainReport:
        """Train on every batch once and report the means over its samples."""
        model.train()
        told = _Told()
        busy = 0.0
        for step, (x_B, y_B) in enumerate(batches):
            started = time.perf_counter()
            self._set_learning_rate(optimizer, step)
            optimizer.zero_grad(set_to_none=True)
            logits = model(x_B)
            loss = mean_loss(logits, y_B)
            loss.backward()  # type: ignore[no-untyped-call]
            clip_each_group(optimizer, self.options.clip_norm)
            optimizer.step()
            busy += time.perf_counter() - started
            told.add(loss, logits, y_B)
        return TrainReport(
            loss=_finite(told.loss),
            accuracy=told.accuracy,
            num_samples=told.num_samples,
            num_steps=len(told.losses),
            busy_ms=busy * 1e3,
            learning_rate=host_group(optimizer)["lr"],
        )

    def _set_learning_rate(self, optimizer: Optimizer, step: int) -> None:
        rate = self.learning_rate(step)
        for group in optimizer.param_groups:
            if TAG not in group:
                group["lr"] = rate


class _Told:
    """What the steps of an epoch gave, put together at its end: a step only takes notes."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.answers: list[Tensor] = []
        self.targets: list[Tensor] = []

    def add(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Note a step's mean loss, its answers and what they should have been."""
        self.losses.append(loss.detach())
        self.answers.append(logits.argmax(dim=-1))
        self.targets.append(targets)

    @property
    def num_samples(self) -> int:
        """Samples of all steps."""
        return sum(map(len, self.targets))

    @property
    def loss(self) -> float:
        """Mean loss of the samples."""
        losses: list[float] = torch.stack(self.losses).tolist()
        pairs = zip(losses, self.targets, strict=True)
        return sum(loss * len(targets) for loss, targets in pairs) / self.num_samples

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        right = torch.cat(self.answers) == torch.cat(self.targets)
        return int(right.sum()) / right.numel()


def clip_each_group(optimizer: Optimizer, max_norm: float) -> None:
    """Clip the gradient norm of every parameter group by itself.

    One norm over all groups would let a kernel shrink the host's step, and one that is not finite
    destroy it.
    """
    if max_norm <= 0:
        return
    found = ([p.grad for p in g["params"] if p.grad is not None] for g in optimizer.param_groups)
    groups = [grads for grads in found if grads]
    if len({grad.device for grads in groups for grad in grads}) == 1:
        _clip_at_once(groups, max_norm)
        return
    for group in optimizer.param_groups:
        torch.nn.utils.clip_grad_norm_(group["params"], max_norm)


@torch.no_grad()
def _clip_at_once(groups: list[list[Tensor]], max_norm: float) -> None:
    """Clip groups on one device, to the bit as torch's `clip_grad_norm_` would one by one.

    That function takes longer for its bookkeeping than a small group for its step.
    """
    norms = torch.stack(torch._foreach_norm([grad for grads in groups for grad in grads]))
    parts = torch.split(norms, [len(grads) for grads in groups])
    totals = torch.stack([torch.linalg.vector_norm(part) for part in parts])
    factors = (max_norm / (totals + 1e-6)).clamp(max=1.0)
    for grads, factor in zip(groups, factors.unbind(), strict=True):
        torch._foreach_mul_(grads, factor)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
