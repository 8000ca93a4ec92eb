"""Train a model for one epoch.  Only the host's learning rate is set here; kernels follow it."""

import math
import time
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from esper.contracts.metrics import TrainReport
from esper.growth.groups import TAG, host_group
from esper.training.objective import mean_loss, sample_hits
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
        loss_sum, hit_sum, num_samples, busy, step = 0.0, 0.0, 0, 0.0, -1
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
            loss_sum += loss.item() * len(y_B)
            hit_sum += float(sample_hits(logits.detach(), y_B).sum())
            num_samples += len(y_B)
        return TrainReport(
            loss=_finite(loss_sum / num_samples),
            accuracy=hit_sum / num_samples,
            num_samples=num_samples,
            num_steps=step + 1,
            busy_ms=busy * 1e3,
            learning_rate=host_group(optimizer)["lr"],
        )

    def _set_learning_rate(self, optimizer: Optimizer, step: int) -> None:
        rate = self.learning_rate(step)
        for group in optimizer.param_groups:
            if TAG not in group:
                group["lr"] = rate


def clip_each_group(optimizer: Optimizer, max_norm: float) -> None:
    """Clip the gradient norm of every parameter group by itself.

    One norm over all groups would let a kernel shrink the host's step, and one that is not finite
    destroy it.
    """
    if max_norm <= 0:
        return
    for group in optimizer.param_groups:
        torch.nn.utils.clip_grad_norm_(group["params"], max_norm)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
